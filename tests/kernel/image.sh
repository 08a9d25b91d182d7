# Makes what the guest boots: Debian's kernel, downloaded and unpacked but not
# installed, and an initramfs of busybox, the kernel's modules for NFS, and the
# programs of this folder. Sourced by run.

guest_modules="virtio_pci virtio_net virtio_console nfsv3"
guest_kernel= # path of the kernel
guest_image=  # path of the initramfs

# The newest kernel that apt knows, kept in the directory $1.
fetch_kernel()
{
	local package

	mkdir -p "$1" || return
	package=$(apt-cache depends linux-image-amd64 2>/dev/null |
		sed -n 's/.*Depends: //p' | head -n 1)
	if [ -n "$package" ] && [ ! -e "$1/$package" ]; then
		(cd "$1" && apt-get -q download "$package" >apt.log 2>&1 &&
			dpkg -x "$package"_*.deb "$package.new" &&
			rm "$package"_*.deb && mv "$package.new" "$package")
	fi
	guest_kernel=$(ls -d "$1"/*/boot/vmlinuz-* 2>/dev/null | tail -n 1)
	[ -n "$guest_kernel" ]
}

# The modules and all that they need, each with its path below the kernel's.
list_modules()
{
	local name

	for name in $guest_modules; do
		grep "/$name\.ko:" "$1/modules.dep" | tr -d :
	done | tr ' ' '\n' | sort -u
}

copy_modules()
{
	local unpacked=${guest_kernel%/boot/*} version=${guest_kernel##*/vmlinuz-}
	local modules=$unpacked/lib/modules/$version
	local to=$1/lib/modules/$version module

	[ -e "$modules/modules.dep" ] ||
		busybox depmod -b "$unpacked" "$version" || return
	mkdir -p "$to" && cp "$modules/modules.dep" "$to" || return
	for module in $(list_modules "$modules"); do
		mkdir -p "$to/${module%/*}" &&
			cp "$modules/$module" "$to/$module" || return
	done
}

# An initramfs in the directory $1, of the programs given after it.
make_image()
{
	local dir=$1 root=$1/root

	shift
	rm -rf "$root" &&
		mkdir -p "$root"/{bin,dev,proc,sys,tmp,mnt,etc} &&
		cp "$(command -v busybox)" "$@" "$root/bin/" &&
		cp "$here/guest.sh" "$root/init" &&
		cp "$dir/params" "$root/" &&
		chmod 755 "$root/init" && copy_modules "$root" || return
	guest_image=$dir/initramfs
	(cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null) |
		gzip -1 >"$guest_image"
}
