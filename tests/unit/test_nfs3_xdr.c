#include "config.h"

#include "server/nfs3_xdr.h"
#include "tests/lib/suite.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#define BUFFER 16384

static _Alignas(8) char buffer[BUFFER];
static XDR xdr;

/* Encode into the buffer... */
static void begin(void)
{
	memset(buffer, 0x5a, sizeof(buffer));
	xdrmem_create(&xdr, buffer, sizeof(buffer), XDR_ENCODE);
}

static void put_bytes(const char *bytes, u_int len)
{
	ck_assert(xdr_bytes(&xdr, (char **)&bytes, &len, UINT32_MAX));
}

static void put_word(uint32_t word)
{
	ck_assert(xdr_uint32_t(&xdr, &word));
}

/* ...and decode what was put there. */
static void rewind_to_decode(void)
{
	xdrmem_create(&xdr, buffer, xdr_getpos(&xdr), XDR_DECODE);
}

static struct nfsd_name name_of(const char *bytes, u_int len)
{
	struct nfsd_name name;

	begin();
	put_bytes(bytes, len);
	rewind_to_decode();
	ck_assert(nfsd_get_name(&xdr, &name));
	return name;
}

START_TEST(a_name_is_taken_by_its_length)
{
	struct nfsd_name name = name_of("file.txt", 8);

	ck_assert_int_eq(name.error, 0);
	ck_assert_int_eq(name.kind, NFSD_PLAIN);
	ck_assert_str_eq(name.text, "file.txt");
	ck_assert_int_eq(name_of("a\0b", 3).error, -EACCES);
	ck_assert_int_eq(name_of("\0", 1).error, -EACCES);
	ck_assert_int_eq(name_of("", 0).error, -EACCES);
	ck_assert_int_eq(name_of("a/b", 3).error, -EACCES);
}
END_TEST

START_TEST(a_name_has_at_most_255_bytes)
{
	char bytes[1024];

	memset(bytes, 'x', sizeof(bytes));
	ck_assert_int_eq(name_of(bytes, 255).error, 0);
	ck_assert_uint_eq(strlen(name_of(bytes, 255).text), 255);
	ck_assert_int_eq(name_of(bytes, 256).error, -ENAMETOOLONG);
	ck_assert_int_eq(name_of(bytes, 1024).error, -ENAMETOOLONG);
}
END_TEST

START_TEST(dot_and_dotdot_are_told_apart_from_names_with_dots)
{
	ck_assert_int_eq(name_of(".", 1).kind, NFSD_DOT);
	ck_assert_int_eq(name_of("..", 2).kind, NFSD_DOTDOT);
	ck_assert_int_eq(name_of("...", 3).kind, NFSD_PLAIN);
	ck_assert_int_eq(name_of(".a", 2).kind, NFSD_PLAIN);
	ck_assert_int_eq(name_of("..a", 3).kind, NFSD_PLAIN);
}
END_TEST

START_TEST(the_padding_after_a_name_is_skipped)
{
	struct nfsd_name name;
	uint32_t word;

	for (u_int len = 1; len <= 8; len++) {
		begin();
		put_bytes("abcdefgh", len);
		put_word(0xfeedface);
		rewind_to_decode();
		ck_assert(nfsd_get_name(&xdr, &name));
		ck_assert(nfsd_get_u32(&xdr, &word));
		ck_assert_uint_eq(word, 0xfeedface);
	}
}
END_TEST

/* As a hostile client would: lengths beyond what is there. */
START_TEST(a_length_past_the_end_is_garbage)
{
	static const uint32_t lengths[] = { 5,          255,        65536,
		                            0x7fffffff, 0xfffffffc, 0xfffffffd,
		                            0xffffffff };
	struct nfsd_target target;
	struct nfsd_name name;
	struct nfsd_fh fh;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		begin();
		put_word(lengths[i]);
		put_word(0x61616161);
		rewind_to_decode();
		ck_assert(!nfsd_get_name(&xdr, &name));
		xdr_setpos(&xdr, 0);
		ck_assert(!nfsd_get_target(&xdr, &target));
		xdr_setpos(&xdr, 0);
		ck_assert(!nfsd_get_fh(&xdr, &fh));
	}
}
END_TEST

START_TEST(a_handle_has_at_most_64_bytes)
{
	char bytes[68] = { 0 };
	struct nfsd_fh fh;

	for (u_int len = 0; len <= sizeof(bytes); len++) {
		begin();
		put_bytes(bytes, len);
		rewind_to_decode();
		ck_assert_int_eq(nfsd_get_fh(&xdr, &fh), len <= NFS3_FHSIZE);
		if (len <= NFS3_FHSIZE)
			ck_assert_uint_eq(fh.len, len);
	}
}
END_TEST

START_TEST(a_target_may_be_a_path_of_4095_bytes)
{
	struct nfsd_target target;
	char bytes[4096];

	memset(bytes, 't', sizeof(bytes));
	begin();
	put_bytes(bytes, 4095);
	put_bytes(bytes, 4096);
	rewind_to_decode();
	ck_assert(nfsd_get_target(&xdr, &target));
	ck_assert_int_eq(target.error, 0);
	ck_assert_uint_eq(strlen(target.text), 4095);
	ck_assert(nfsd_get_target(&xdr, &target));
	ck_assert_int_eq(target.error, -ENAMETOOLONG);

	begin();
	put_bytes("", 0);
	put_bytes("a\0b", 3);
	rewind_to_decode();
	ck_assert(nfsd_get_target(&xdr, &target));
	ck_assert_int_eq(target.error, -EINVAL);
	ck_assert(nfsd_get_target(&xdr, &target));
	ck_assert_int_eq(target.error, -EINVAL);
}
END_TEST

/* WRITE's arguments by the generated codec. */
static void put_write(uint32_t count, u_int len, stable_how stable)
{
	static char data[64] = "data to be written";
	WRITE3args args = {
		.file = { { 32, data } },
		.offset = 0x123456789abcdef0,
		.count = count,
		.stable = stable,
		.data = { len, data },
	};

	begin();
	ck_assert(xdr_WRITE3args(&xdr, &args));
	rewind_to_decode();
}

START_TEST(data_to_write_stay_where_they_arrived)
{
	struct nfsd_write_args args;

	put_write(18, 18, DATA_SYNC);
	ck_assert(nfsd_get_write(&xdr, &args));
	ck_assert_uint_eq(args.offset, 0x123456789abcdef0);
	ck_assert_uint_eq(args.count, 18);
	ck_assert_uint_eq(args.stable, DATA_SYNC);
	ck_assert_uint_eq(args.file.len, 32);
	ck_assert_mem_eq(args.data, "data to be written", 18);
	ck_assert((const char *)args.data > buffer &&
	          (const char *)args.data < buffer + sizeof(buffer));
}
END_TEST

START_TEST(a_write_whose_count_is_not_its_data_is_garbage)
{
	struct nfsd_write_args args;

	put_write(19, 18, UNSTABLE);
	ck_assert(!nfsd_get_write(&xdr, &args));
	put_write(17, 18, UNSTABLE);
	ck_assert(!nfsd_get_write(&xdr, &args));
	put_write(18, 18, (stable_how)3);
	ck_assert(!nfsd_get_write(&xdr, &args));
}
END_TEST

START_TEST(arguments_cut_short_anywhere_are_garbage)
{
	struct nfsd_readdir_args readdir;
	struct nfsd_write_args write;
	struct nfsd_read_args read;
	READDIRPLUS3args plus = { .dir = { { 32, buffer } } };
	u_int whole;

	put_write(18, 18, UNSTABLE);
	whole = xdr.x_handy;
	for (u_int len = 0; len < whole; len += 4) {
		xdrmem_create(&xdr, buffer, len, XDR_DECODE);
		ck_assert(!nfsd_get_write(&xdr, &write));
	}
	for (u_int len = 0; len < 4 + 32 + 8 + 4; len += 4) {
		xdrmem_create(&xdr, buffer, len, XDR_DECODE);
		ck_assert(!nfsd_get_read(&xdr, &read));
	}
	begin();
	ck_assert(xdr_READDIRPLUS3args(&xdr, &plus));
	whole = xdr_getpos(&xdr);
	for (u_int len = 0; len <= whole; len += 4) {
		xdrmem_create(&xdr, buffer, len, XDR_DECODE);
		ck_assert_int_eq(nfsd_get_readdir(&xdr, true, &readdir),
		                 len == whole);
	}
}
END_TEST

/* ---- sattr3 --------------------------------------------------------------- */

START_TEST(attributes_to_set_are_those_that_say_so)
{
	sattr3 from = {
		.mode = { TRUE, { 0104755 } },
		.gid = { TRUE, { 100 } },
		.mtime = { SET_TO_CLIENT_TIME, { { 1234567890, 999999999 } } },
		.atime = { .set_it = SET_TO_SERVER_TIME },
	};
	struct ovl_setattr to;

	ck_assert_int_eq(nfsd_sattr(&from, &to), 0);
	ck_assert(to.has_mode && to.has_gid && !to.has_uid && !to.has_size);
	ck_assert_uint_eq(to.mode, 04755);
	ck_assert_uint_eq(to.gid, 100);
	ck_assert_int_eq(to.set_atime, OVL_TIME_NOW);
	ck_assert_int_eq(to.set_mtime, OVL_TIME_GIVEN);
	ck_assert_int_eq(to.mtime.tv_sec, 1234567890);
	ck_assert_int_eq(to.mtime.tv_nsec, 999999999);
}
END_TEST

START_TEST(times_and_sizes_that_cannot_be_are_refused)
{
	sattr3 from = { .mtime = { SET_TO_CLIENT_TIME,
		                   { { 0, 1000000000 } } } };
	struct ovl_setattr to;

	ck_assert_int_eq(nfsd_sattr(&from, &to), -EINVAL);
	from = (sattr3){ .size = { TRUE, { UINT64_C(1) << 63 } } };
	ck_assert_int_eq(nfsd_sattr(&from, &to), -EFBIG);
	from = (sattr3){ .size = { TRUE, { INT64_MAX } } };
	ck_assert_int_eq(nfsd_sattr(&from, &to), 0);
}
END_TEST

/* ---- results, read back by the generated codec ------------------------------ */

static const struct ovl_attr attr = {
	.fileid = 0x0123456789abcdef,
	.size = 0x1122334455667788,
	.used = 0x99aabbccddeeff00,
	.mode = S_IFREG | 04755,
	.nlink = 3,
	.uid = 1000,
	.gid = 0xfffffffe,
	.rdev_major = 8,
	.rdev_minor = 1,
	.atime = { 1, 2 },
	.mtime = { 3, 999999999 },
	.ctime = { 0xffffffff, 4 },
};

static void assert_fattr(const fattr3 *got)
{
	ck_assert_int_eq(got->type, NF3REG);
	ck_assert_uint_eq(got->mode, 04755);
	ck_assert_uint_eq(got->nlink, 3);
	ck_assert_uint_eq(got->uid, 1000);
	ck_assert_uint_eq(got->gid, 0xfffffffe);
	ck_assert_uint_eq(got->size, attr.size);
	ck_assert_uint_eq(got->used, attr.used);
	ck_assert_uint_eq(got->rdev.specdata1, 8);
	ck_assert_uint_eq(got->rdev.specdata2, 1);
	ck_assert_uint_eq(got->fsid, 42);
	ck_assert_uint_eq(got->fileid, attr.fileid);
	ck_assert_uint_eq(got->atime.seconds, 1);
	ck_assert_uint_eq(got->atime.nseconds, 2);
	ck_assert_uint_eq(got->mtime.nseconds, 999999999);
	ck_assert_uint_eq(got->ctime.seconds, 0xffffffff);
}

/* Decode what has been put up to `end`, to the last byte. */
static void read_back(int32_t *end, xdrproc_t decode, void *to)
{
	u_int len = (u_int)((char *)end - buffer);

	xdrmem_create(&xdr, buffer, len, XDR_DECODE);
	ck_assert(decode(&xdr, to));
	ck_assert_uint_eq(xdr_getpos(&xdr), len);
}

START_TEST(attributes_come_back_as_they_were)
{
	int32_t *begin_at = (int32_t *)buffer;
	int32_t *end = nfsd_put_fattr(begin_at, &attr, 42);
	fattr3 got;

	ck_assert_int_eq((char *)end - buffer, NFSD_XDR_FATTR);
	read_back(end, (xdrproc_t)xdr_fattr3, &got);
	assert_fattr(&got);
}
END_TEST

START_TEST(every_file_type_has_its_number)
{
	static const struct {
		uint32_t mode;
		ftype3 type;
	} types[] = {
		{ S_IFREG, NF3REG },  { S_IFDIR, NF3DIR },
		{ S_IFBLK, NF3BLK },  { S_IFCHR, NF3CHR },
		{ S_IFLNK, NF3LNK },  { S_IFSOCK, NF3SOCK },
		{ S_IFIFO, NF3FIFO },
	};
	struct ovl_attr a = attr;
	fattr3 got;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		a.mode = types[i].mode | 0644;
		read_back(nfsd_put_fattr((int32_t *)buffer, &a, 42),
		          (xdrproc_t)xdr_fattr3, &got);
		ck_assert_int_eq(got.type, types[i].type);
		ck_assert_uint_eq(got.mode, 0644);
	}
}
END_TEST

/* Seconds on the wire have 32 bits, without a sign. */
START_TEST(times_before_1970_and_after_2106_stay_near)
{
	struct ovl_attr a = attr;
	fattr3 got;

	a.atime.tv_sec = -1;
	a.mtime.tv_sec = 0x100000000;
	read_back(nfsd_put_fattr((int32_t *)buffer, &a, 42),
	          (xdrproc_t)xdr_fattr3, &got);
	ck_assert_uint_eq(got.atime.seconds, 0);
	ck_assert_uint_eq(got.mtime.seconds, 0xffffffff);
}
END_TEST

START_TEST(attributes_may_be_missing)
{
	post_op_attr got;
	int32_t *end;

	end = nfsd_put_post_op((int32_t *)buffer, NULL, 42);
	read_back(end, (xdrproc_t)xdr_post_op_attr, &got);
	ck_assert(!got.attributes_follow);
	end = nfsd_put_post_op((int32_t *)buffer, &attr, 42);
	ck_assert_int_eq((char *)end - buffer, NFSD_XDR_POST_OP);
	read_back(end, (xdrproc_t)xdr_post_op_attr, &got);
	ck_assert(got.attributes_follow);
	assert_fattr(&got.post_op_attr_u.attributes);
}
END_TEST

START_TEST(each_half_of_wcc_data_may_be_missing)
{
	struct ovl_change change = { .before = attr, .after = attr };
	int32_t *begin_at = (int32_t *)buffer, *end;
	wcc_data got;

	change.before.size = 7;
	for (int i = 0; i < 4; i++) {
		change.has_before = (i & 1) != 0;
		change.has_after = (i & 2) != 0;
		end = nfsd_put_wcc(begin_at, &change, 42);
		read_back(end, (xdrproc_t)xdr_wcc_data, &got);
		ck_assert_int_eq(got.before.attributes_follow, i & 1);
		ck_assert_int_eq(got.after.attributes_follow, (i & 2) / 2);
		if ((i & 1) != 0)
			ck_assert_uint_eq(
				got.before.pre_op_attr_u.attributes.size, 7);
		if ((i & 2) != 0)
			assert_fattr(&got.after.post_op_attr_u.attributes);
	}
	ck_assert_int_eq((char *)end - buffer, NFSD_XDR_WCC);
}
END_TEST

START_TEST(opaque_data_are_padded_with_zeros)
{
	for (u_int len = 0; len <= 8; len++) {
		memset(buffer, 0xff, 32);
		ck_assert_ptr_eq(
			nfsd_put_opaque((int32_t *)buffer, "abcdefgh", len),
			(int32_t *)(buffer + 4 + nfsd_xdr_padded(len)));
		ck_assert_mem_eq(buffer + 4, "abcdefgh", len);
		for (size_t i = len; i < nfsd_xdr_padded(len); i++)
			ck_assert_int_eq(buffer[4 + i], 0);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nfs3_xdr");
	TCase *tcase = tcase_create("nfs3_xdr");

	tcase_add_test(tcase, a_name_is_taken_by_its_length);
	tcase_add_test(tcase, a_name_has_at_most_255_bytes);
	tcase_add_test(tcase,
	               dot_and_dotdot_are_told_apart_from_names_with_dots);
	tcase_add_test(tcase, the_padding_after_a_name_is_skipped);
	tcase_add_test(tcase, a_length_past_the_end_is_garbage);
	tcase_add_test(tcase, a_handle_has_at_most_64_bytes);
	tcase_add_test(tcase, a_target_may_be_a_path_of_4095_bytes);
	tcase_add_test(tcase, data_to_write_stay_where_they_arrived);
	tcase_add_test(tcase, a_write_whose_count_is_not_its_data_is_garbage);
	tcase_add_test(tcase, arguments_cut_short_anywhere_are_garbage);
	tcase_add_test(tcase, attributes_to_set_are_those_that_say_so);
	tcase_add_test(tcase, times_and_sizes_that_cannot_be_are_refused);
	tcase_add_test(tcase, attributes_come_back_as_they_were);
	tcase_add_test(tcase, every_file_type_has_its_number);
	tcase_add_test(tcase, times_before_1970_and_after_2106_stay_near);
	tcase_add_test(tcase, attributes_may_be_missing);
	tcase_add_test(tcase, each_half_of_wcc_data_may_be_missing);
	tcase_add_test(tcase, opaque_data_are_padded_with_zeros);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
