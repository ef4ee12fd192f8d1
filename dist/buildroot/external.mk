include $(sort $(wildcard $(BR2_EXTERNAL_HA_PATH)/package/*/*.mk))
