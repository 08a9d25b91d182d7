#!/bin/busybox sh
# Runs as the first process of the guest: mounts the export, works on it as
# users do, and says how each step went, a line each, on the console:
#
#   ok - STEP | not ok - STEP       what run counts
#   host: WORD                      what run is to do now
#
# /params (made by run) names the server, and what of the lower to work on.

/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs -o size=75% tmpfs /tmp
. /params

mnt=/mnt
lab=/lab # where the machine has an upper of its own
work=$mnt/$WORK

seconds() { cut -d . -f 1 /proc/uptime; }

check()
{
	name=$1
	begin=$(seconds)
	shift
	if "$@" 2>/tmp/errors; then
		echo "ok - $name ($(($(seconds) - begin)) s)"
	else
		echo "not ok - $name"
		head -n 5 /tmp/errors
	fi
}

# No two steps share a directory.
fresh()
{
	dir=$work/$1
	mkdir -p "$dir"
}

start_network()
{
	modprobe virtio_pci && modprobe virtio_net &&
		modprobe virtio_console && modprobe nfsv3 &&
		ip link set lo up && ip link set eth0 up &&
		ip addr add 10.0.2.15/24 dev eth0
}

# The export $1 on $2, with more options.
mount_export()
{
	mkdir -p "$2" && mount -t nfs -o "$3vers=3,proto=tcp,mountproto=tcp,nolock,\
addr=10.0.2.2,port=$PORT,mountport=$PORT" "10.0.2.2:$1" "$2"
}

remount_export()
{
	cd / && umount $mnt && mount_export /veneer $mnt
}

same()
{
	[ "$1" = "$2" ] || { echo "\"$1\" is not \"$2\"" >&2; return 1; }
}

# ---- the lower, read ---------------------------------------------------------

send_manifest()
{
	port=$(dirname "$(grep -lx out /sys/class/virtio-ports/*/name)")
	manifest -c "$ONE_IN" -s "$SEED" $mnt >"/dev/${port##*/}"
}

# ---- the lower, changed ------------------------------------------------------
# Each of these works on a path of its own, chosen by run.

append_to_lower()
{
	size=$(stat -c %s "$mnt/$APPEND")
	cp "$mnt/$APPEND" /tmp/before
	echo "one more line" >>"$mnt/$APPEND"
	echo "one more line" >>/tmp/before
	cmp /tmp/before "$mnt/$APPEND" &&
		same "$(stat -c %s "$mnt/$APPEND")" $((size + 14))
}

keep_inode_when_written()
{
	inode=$(stat -c %i "$mnt/$WRITE")
	exec 3<"$mnt/$WRITE"
	printf X | dd of="$mnt/$WRITE" bs=1 seek=3 conv=notrunc 2>/dev/null
	same "$(stat -c %i "$mnt/$WRITE")" "$inode" &&
		same "$(head -c 4 <&3 | tail -c 1)" X
	status=$?
	exec 3<&-
	return $status
}

truncate_lower()
{
	head -c 5 "$mnt/$TRUNCATE" >/tmp/head
	truncate -s 5 "$mnt/$TRUNCATE" && cmp /tmp/head "$mnt/$TRUNCATE"
}

chmod_lower()
{
	chmod 0751 "$mnt/$CHMOD" && same "$(stat -c %a "$mnt/$CHMOD")" 751
}

chown_lower()
{
	chown 1234:4321 "$mnt/$CHMOD" &&
		same "$(stat -c %u:%g "$mnt/$CHMOD")" 1234:4321
}

touch_lower()
{
	touch -d "2001-02-03 04:05:06" "$mnt/$CHMOD" &&
		same "$(stat -c %Y "$mnt/$CHMOD")" 981173106
}

remove_lower()
{
	rm "$mnt/$REMOVE" && [ ! -e "$mnt/$REMOVE" ] &&
		! ls "$mnt/$(dirname "$REMOVE")" | grep -qxF \
			"$(basename "$REMOVE")"
}

rename_lower()
{
	fresh renamed
	cp "$mnt/$RENAME" /tmp/before
	mv "$mnt/$RENAME" "$dir/moved" && [ ! -e "$mnt/$RENAME" ] &&
		cmp /tmp/before "$dir/moved"
}

# mv(1) would copy where the server cannot rename: that is another inode.
rename_lower_tree()
{
	fresh renamed_tree
	inode=$(stat -c %i "$mnt/$RENAME_TREE")
	manifest -c 1 "$mnt/$RENAME_TREE" >/tmp/before
	mv "$mnt/$RENAME_TREE" "$dir/moved" && [ ! -e "$mnt/$RENAME_TREE" ] &&
		same "$(stat -c %i "$dir/moved")" "$inode" &&
		manifest -c 1 "$dir/moved" >/tmp/after &&
		cmp /tmp/before /tmp/after
}

remove_lower_tree()
{
	rm -r "$mnt/$REMOVE_TREE" && [ ! -e "$mnt/$REMOVE_TREE" ]
}

# What was there before must not shine through.
make_directory_anew()
{
	mkdir "$mnt/$REMOVE_TREE" && touch "$mnt/$REMOVE_TREE/new" &&
		same "$(ls -A "$mnt/$REMOVE_TREE")" new
}

# ---- new things --------------------------------------------------------------

# What tar keeps: no owner here, whole seconds, and times of files alone.
list_unpacked()
{
	manifest -c 1 "$1" | awk '$10 != "/" {
		sub(/\..*/, "", $7)
		print $1, $2, $6, $1 == "f" ? $7 : "-", $8, $10
	}'
}

unpack_tree()
{
	fresh tree
	tar -C "$mnt/$TREE" -cf /tmp/tree.tar . &&
		tar -C "$dir" -o -p -xf /tmp/tree.tar &&
		rm /tmp/tree.tar &&
		list_unpacked "$mnt/$TREE" >/tmp/tree.from &&
		list_unpacked "$dir" >/tmp/tree.to &&
		[ "$(wc -l </tmp/tree.to)" -ge 100 ] &&
		cmp /tmp/tree.from /tmp/tree.to
}

delete_tree()
{
	rm -r "$work/tree" && [ ! -e "$work/tree" ]
}

renames()
{
	fresh renames
	cd "$dir" && echo a >a && echo b >b && mkdir d e &&
		mv a c && same "$(cat c)" a &&
		mv c b && same "$(cat b)" a && [ ! -e c ] &&
		mv b d/b && mv d f && same "$(cat f/b)" a &&
		mv f e/f && same "$(cat e/f/b)" a &&
		same "$(ls -A . | tr '\n' ' ')" "e "
}

hard_links()
{
	fresh links
	cd "$dir" && echo one >a && ln a b && echo two >>b &&
		same "$(cat a | tr '\n' ' ')" "one two " &&
		same "$(stat -c %h a)" 2 &&
		same "$(stat -c %i a)" "$(stat -c %i b)" &&
		rm a && same "$(stat -c %h b)" 1
}

symbolic_links()
{
	fresh symlinks
	target=$(seq -s / 1 1000 | head -c 3000)
	cd "$dir" && ln -s "$target" long && same "$(readlink long)" "$target" &&
		ln -s nowhere dangling && [ ! -e dangling ] &&
		echo x >file && ln -s file good && same "$(cat good)" x
}

special_files()
{
	fresh special
	cd "$dir" && mkfifo pipe && [ -p pipe ] &&
		{ echo through >pipe & same "$(cat pipe)" through; }
}

append_lines()
{
	n=0
	while [ $n -lt 500 ]; do
		echo "$1 $n of the five hundred" >>"$dir/log"
		n=$((n + 1))
	done
}

appends_from_two_processes()
{
	fresh appends
	append_lines first &
	other=$!
	append_lines second
	wait $other
	same "$(wc -l <"$dir/log")" 1000 &&
		same "$(sort -u "$dir/log" | wc -l)" 1000
}

truncates()
{
	fresh truncates
	cd "$dir" && seq 1 5000 >file && truncate -s 100 file &&
		same "$(wc -c <file)" 100 && truncate -s 70000 file &&
		same "$(wc -c <file)" 70000 &&
		same "$(tail -c 69900 file | tr -d '\0' | wc -c)" 0 &&
		echo new >file && same "$(cat file)" new
}

list_while_deleting()
{
	fresh many
	listdelete "$dir" "$NAMES" && rm -r "$dir" && [ ! -e "$dir" ]
}

modes_of_new_files()
{
	fresh modes
	cd "$dir" && (umask 027; echo x >file; mkdir sub) &&
		same "$(stat -c %a file)" 640 && same "$(stat -c %a sub)" 750
}

survive_remount()
{
	fresh remount
	seq 1 100000 >"$dir/file" && sum=$(md5sum <"$dir/file") &&
		ls -lR "$work" >/tmp/list.before &&
		remount_export && same "$(md5sum <"$dir/file")" "$sum" &&
		ls -lR "$work" >/tmp/list.after &&
		cmp /tmp/list.before /tmp/list.after
}

# The server dies in the middle, and comes back after a while. What was open
# before, file or directory, is known to it afterwards.
survive_kill()
{
	fresh killed
	dd if=/dev/urandom of=/tmp/big bs=1M count=64 2>/dev/null
	cd "$mnt/$TREE"
	names=$(ls -A | md5sum)
	exec 4<"$mnt/$BIG"
	head -c 1000 <&4 >/dev/null
	dd if=/tmp/big of="$dir/big" bs=64k conv=fsync 2>/tmp/dd &
	copy=$!
	while [ "$(stat -c %s "$dir/big" 2>/dev/null || echo 0)" -lt 65536 ]; do
		usleep 10000
	done
	echo "host: kill"
	wait $copy && cmp /tmp/big "$dir/big" &&
		same "$(ls -A | md5sum)" "$names" &&
		same "$(cat <&4 | md5sum)" "$(tail -c +1001 "$mnt/$BIG" | md5sum)"
	status=$?
	exec 4<&-
	cd /
	rm /tmp/big
	return $status
}

# ---- an overlay of its own, and exports read again -----------------------------

# Directories are believed for five seconds, not for up to a minute.
mount_lab() { mount_export /lab $lab acdirmin=1,acdirmax=5,; }

# The same lower, as nobody has changed it elsewhere.
change_own()
{
	[ "$(stat -c %s "$lab/$TRUNCATE")" -ge 100 ] && [ -e "$lab/$REMOVE" ] &&
		echo mine >"$lab/mine" && echo mine >>"$lab/$TRUNCATE" &&
		same "$(tail -c 5 "$lab/$TRUNCATE")" mine &&
		[ ! -e "$mnt/mine" ] && same "$(stat -c %s "$mnt/$TRUNCATE")" 5
}

# Does this at once or soon: a client keeps what it knows for a while.
await()
{
	tries=0
	until "$@" 2>/dev/null; do
		tries=$((tries + 1))
		[ $tries -lt 90 ] || return 1
		sleep 1
	done
}

lab_is_closed() { ! ls -l $lab >/dev/null; }

# What is open in the other export stays so.
survive_withdrawal()
{
	fresh withdrawn
	exec 3<"$mnt/$BIG" 4>"$dir/file"
	head -c 1000 <&3 >/dev/null
	echo before >&4
	echo "host: withdraw /lab"
	await lab_is_closed && echo after >&4 &&
		same "$(cat <&3 | md5sum)" "$(tail -c +1001 "$mnt/$BIG" | md5sum)"
	status=$?
	exec 3<&- 4>&-
	[ $status = 0 ] && same "$(tr '\n' ' ' <"$dir/file")" "before after "
}

come_back()
{
	echo "host: give /lab back"
	await cat $lab/mine >/dev/null && same "$(cat $lab/mine)" mine
}

# Though the client knew that the name was not there, and what was.
see_new_layer()
{
	[ ! -e $lab/news ] && ! ls $lab | grep -qx news || return
	echo "host: a new layer"
	await cat $lab/news >/dev/null && same "$(cat $lab/news)" new &&
		ls $lab | grep -qx news && same "$(cat $lab/mine)" mine &&
		same "$(tail -c 5 "$lab/$TRUNCATE")" mine
}

# ---- all of it ---------------------------------------------------------------

main()
{
	check "the guest has a network" start_network
	check "mount" mount_export /veneer $mnt
	grep -q " $mnt nfs " /proc/mounts || return
	check "list all, read a sample" send_manifest
	echo "host: compare"

	mkdir "$work"
	check "append to a lower file" append_to_lower
	check "a lower file keeps its inode when written" \
		keep_inode_when_written
	check "truncate a lower file" truncate_lower
	check "chmod a lower file" chmod_lower
	[ "$ROOT" = yes ] && check "chown a lower file" chown_lower
	check "set the times of a lower file" touch_lower
	check "remove a lower file" remove_lower
	check "rename a lower file" rename_lower
	check "rename a lower tree" rename_lower_tree
	check "remove a lower tree" remove_lower_tree
	check "a directory made over it is empty" make_directory_anew

	check "unpack a tree" unpack_tree
	check "delete a tree" delete_tree
	check "renames" renames
	check "hard links" hard_links
	check "symbolic links" symbolic_links
	check "special files" special_files
	check "modes of new files" modes_of_new_files
	check "appends from two processes" appends_from_two_processes
	check "truncates" truncates
	check "list $NAMES names while deleting" list_while_deleting
	check "remount" survive_remount
	check "a server killed in the middle of a copy" survive_kill

	check "mount what each machine has for itself" mount_lab
	check "what changes there shows there alone" change_own
	check "an export is withdrawn, and the other goes on" survive_withdrawal
	check "what was withdrawn is there again" come_back
	check "a new layer shows without a new mount" see_new_layer
	check "unmount it" umount $lab
	cd /
	check "delete what was made" rm -r "$work"
	check "unmount" umount $mnt
}

main
echo "host: end"
poweroff -f
