# A stand-in for OpenWrt's /etc/rc.common, with as much of UCI and procd as dist/openwrt/files/ha.init asks of them, for
# busybox ash. /var/procd has a directory for each instance.
# shellcheck shell=dash

initscript=$1
action=$2
procd=/var/procd

# A UCI file is a shell script that calls these.
config() {
	section=${2:-cfg$(echo "$sections" | wc -w)}
	sections="$sections $section"
	eval "TYPE_$section=\$1"
}
option() { eval "VALUE_${section}_$1=\$2"; }
# Its items may have spaces; none has a line feed.
list() { eval "LIST_${section}_$1=\"\${LIST_${section}_$1:-}\$2$line_feed\""; }
line_feed='
'

config_load() {
	sections=
	# shellcheck source=/dev/null
	. "/etc/config/$1"
}
config_get() { eval "$1=\${VALUE_${2}_$3:-\${4:-}}"; }
config_get_bool() {
	config_get "$@"
	eval "case \$$1 in 1 | on | true | yes | enabled) $1=1 ;; 0 | off | false | no | disabled) $1=0 ;; *) $1=$4 ;; esac"
}
config_foreach() {
	local each
	for each in $sections; do
		if eval "[ \"\$TYPE_$each\" = $2 ]"; then "$1" "$each"; fi
	done
}
config_list_foreach() {
	local each values
	eval "values=\${LIST_${1}_$2:-}"
	printf %s "$values" >/tmp/values
	while read -r each; do "$3" "$each"; done </tmp/values
}

procd_open_instance() {
	instance=$procd/new/$1
	mkdir -p "$instance"
}
procd_set_param() {
	local what=$1
	shift
	: >"$instance/$what"
	procd_append_param "$what" "$@"
}
procd_append_param() {
	local what=$1
	shift
	for value; do echo "$value"; done >>"$instance/$what"
}
procd_close_instance() { md5sum "$(cat "$instance/file")" >"$instance/sum"; }
procd_add_reload_trigger() { echo "$*" >$procd/triggers; }
procd_send_signal() { kill -s "$3" "$(cat "$procd/$2/pid")"; }

end_instance() {
	local pid
	pid=$(cat "$1/pid")
	kill "$pid"
	# Its memory goes before its sockets: it has left when it is a zombie, or when there is none of it.
	while grep -qs '^State:	[^Z]' "/proc/$pid/status"; do sleep 0.02; done
	rm -r "$1"
}
# What is the same goes on, what is not ends, what is new starts.
apply() {
	local dir name
	for dir in "$procd"/*/pid; do
		dir=${dir%/pid} name=${dir##*/}
		[ -d "$dir" ] || continue
		if cmp -s "$dir/command" "$procd/new/$name/command" && cmp -s "$dir/sum" "$procd/new/$name/sum"; then
			rm -r "$procd/new/$name"
		else
			end_instance "$dir"
		fi
	done
	for dir in "$procd"/new/*; do
		[ -d "$dir" ] || continue
		name=${dir##*/}
		mv "$dir" "$procd/$name"
		# shellcheck disable=SC2046 # words
		setsid $(cat "$procd/$name/command") </dev/null >/dev/null 2>>/var/log/stderr &
		echo $! >"$procd/$name/pid"
	done
}

start() {
	rm -rf $procd/new
	mkdir -p $procd/new
	start_service
	service_triggers
	apply
}
stop() {
	local dir
	stop_service
	for dir in "$procd"/*/pid; do
		if [ -e "$dir" ]; then end_instance "${dir%/pid}"; fi
	done
}

# shellcheck source=dist/openwrt/files/ha.init
. "$initscript"
case $action in
start | stop) $action ;;
reload) reload_service ;;
esac
