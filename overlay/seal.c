#include "config.h"

#include "overlay/seal.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* As it is on disk, in the byte order of the machine, as the file itself. */
struct kept {
	char magic[8];
	struct ovl_seal seal;
	unsigned char sum[crypto_shorthash_BYTES]; /* of what is before */
};

static const char magic[8] = "veneer 1";

/* Not against forgers: who can write the seal can write the file. */
static void sum_of(const struct kept *kept,
                   unsigned char sum[crypto_shorthash_BYTES])
{
	static const unsigned char key[crypto_shorthash_KEYBYTES];

	crypto_shorthash(sum, (const unsigned char *)kept,
	                 offsetof(struct kept, sum), key);
}

int ovl_seal_look(int fd, struct ovl_seal *seal)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	*seal = (struct ovl_seal){
		.size = (uint64_t)st.st_size,
		.ino = st.st_ino,
		.transaction = seal->transaction,
		.mtime = st.st_mtim.tv_sec,
		.mtime_ns = st.st_mtim.tv_nsec,
		.ctime = st.st_ctim.tv_sec,
		.ctime_ns = st.st_ctim.tv_nsec,
	};
	return 0;
}

bool ovl_seal_fits(const struct ovl_seal *seal, int fd)
{
	struct ovl_seal now = { .transaction = seal->transaction };

	return !ovl_seal_look(fd, &now) && !memcmp(&now, seal, sizeof(now));
}

int ovl_seal_read(int sealfd, struct ovl_seal *seal)
{
	unsigned char sum[crypto_shorthash_BYTES];
	struct kept kept;
	ssize_t n = pread(sealfd, &kept, sizeof(kept), 0);

	if (n < 0)
		return -errno;
	if (n != sizeof(kept) || memcmp(kept.magic, magic, sizeof(magic)))
		return -EINVAL;
	sum_of(&kept, sum);
	if (memcmp(sum, kept.sum, sizeof(sum)))
		return -EINVAL;
	*seal = kept.seal;
	return 0;
}

int ovl_seal_write(int sealfd, const struct ovl_seal *seal)
{
	struct kept kept = { 0 };
	ssize_t n;

	if (seal) {
		memcpy(kept.magic, magic, sizeof(magic));
		kept.seal = *seal;
		sum_of(&kept, kept.sum);
	}
	n = pwrite(sealfd, &kept, sizeof(kept), 0);
	if (n != sizeof(kept))
		return n < 0 ? -errno : -EIO;
	return fdatasync(sealfd) ? -errno : 0;
}
