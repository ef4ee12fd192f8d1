################################################################################
#
# ha
#
################################################################################

HA_VERSION = 0.1.0
HA_SITE = $(BR2_EXTERNAL_HA_PATH)/../..
HA_SITE_METHOD = local
HA_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = --exclude /target
HA_LICENSE = MIT or Apache-2.0
HA_LICENSE_FILES = LICENSE-MIT LICENSE-APACHE
HA_BINARY = $(call qstrip,$(BR2_PACKAGE_HA_BINARY))

define HA_BUILD_CMDS
	test -f "$(HA_BINARY)" || { echo "BR2_PACKAGE_HA_BINARY=$(HA_BINARY): expected the static binary for $(ARCH)" >&2; exit 1; }
endef

define HA_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(HA_BINARY) $(TARGET_DIR)/usr/sbin/ha
	$(INSTALL) -D -m 0644 $(@D)/dist/ha.conf $(TARGET_DIR)/etc/ha.conf
endef

define HA_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 0755 $(@D)/dist/busybox/S60ha $(TARGET_DIR)/etc/init.d/S60ha
endef

define HA_INSTALL_INIT_OPENRC
	$(INSTALL) -D -m 0755 $(@D)/dist/openrc/ha $(TARGET_DIR)/etc/init.d/ha
endef

define HA_INSTALL_INIT_SYSTEMD
	$(INSTALL) -D -m 0644 $(@D)/dist/systemd/ha.service $(TARGET_DIR)/usr/lib/systemd/system/ha.service
endef

$(eval $(generic-package))
