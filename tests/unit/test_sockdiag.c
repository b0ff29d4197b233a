// SPDX-License-Identifier: GPL-2.0-or-later
/* TCP sockets from the kernel's messages and from the text of net/tcp. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <sys/mman.h>

#include "libcommon/sockdiag.c"
#include "libcommon/target.h"

#define HEADER                                                                                     \
	"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
#define LOOPBACK "0100007F:1F90 0200007F:0035 "
/* What follows the queues of a request, and what a full socket has more. */
#define REST "00:00000000 00000000     0        0 4711 1 0000000000000000"
#define FULL REST " 20 4 30 10 -1"

/* The last of the sockets seen, and their number. */
struct seen {
	struct tcp_sock last;
	size_t n;
	int answer;
};

static int see(const struct tcp_sock *sk, void *arg)
{
	struct seen *s = arg;

	s->last = *sk;
	s->n++;
	return s->answer;
}

static const unsigned char mapped_local[16] = { [10] = 0xff, 0xff, 127, 0, 0, 1 };
static const unsigned char mapped_remote[16] = { [10] = 0xff, 0xff, 127, 0, 0, 2 };

/* A message of the kernel: a socket without attributes. */
struct message {
	struct nlmsghdr nlh;
	struct inet_diag_msg msg;
	unsigned char room[64];
};

static struct message message_make(int family, uint8_t state)
{
	struct message m = { .nlh = { .nlmsg_len = NLMSG_LENGTH(sizeof(m.msg)),
				      .nlmsg_type = TCPDIAG_GETSOCK },
			     .msg = { .idiag_family = (uint8_t)family,
				      .idiag_state = state,
				      .idiag_rqueue = 7,
				      .idiag_wqueue = 9 } };

	m.msg.id.idiag_sport = htons(8080);
	m.msg.id.idiag_dport = htons(53);
	m.msg.id.idiag_src[0] = htonl(0x7f000001);
	m.msg.id.idiag_dst[0] = htonl(0x7f000002);
	return m;
}

static int message_see(struct message *m, struct seen *s)
{
	struct dump d = { .fn = see, .arg = s };

	errno = 0;
	return diag_message(&m->nlh, &d);
}

static void message_gives_the_socket(void **state)
{
	struct message m = message_make(AF_INET, TCP_STATE_ESTABLISHED);
	struct seen s = { 0 };

	(void)state;
	assert_int_equal(message_see(&m, &s), MNL_CB_OK);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.last.state, TCP_STATE_ESTABLISHED);
	assert_memory_equal(s.last.local.addr, mapped_local, 16);
	assert_memory_equal(s.last.remote.addr, mapped_remote, 16);
	assert_int_equal(s.last.local.port, 8080);
	assert_int_equal(s.last.remote.port, 53);
	assert_int_equal(s.last.rqueue, 7);
	assert_int_equal(s.last.wqueue, 9);
}

static void message_keeps_ipv6_addresses(void **state)
{
	struct message m = message_make(AF_INET6, TCP_STATE_LISTEN);
	struct seen s = { 0 };

	(void)state;
	memcpy(m.msg.id.idiag_src, mapped_local, 16);
	m.msg.id.idiag_dst[3] = htonl(1);
	assert_int_equal(message_see(&m, &s), MNL_CB_OK);
	assert_memory_equal(s.last.local.addr, mapped_local, 16);
	assert_int_equal(s.last.remote.addr[0], 0x7f);
	assert_int_equal(s.last.remote.addr[15], 1);
}

/* SYN_RECV is a socket with SHUTDOWN and a request without; other attributes say nothing. */
static void message_tells_a_request_from_a_socket(void **state)
{
	struct message m = message_make(AF_INET, TCP_STATE_SYN_RECV);
	struct seen s = { 0 };

	(void)state;
	assert_int_equal(message_see(&m, &s), MNL_CB_OK);
	assert_int_equal(s.last.state, TCP_STATE_NEW_SYN_RECV);
	mnl_attr_put_u32(&m.nlh, INET_DIAG_MARK, 1);
	assert_int_equal(message_see(&m, &s), MNL_CB_OK);
	assert_int_equal(s.last.state, TCP_STATE_NEW_SYN_RECV);
	mnl_attr_put_u8(&m.nlh, INET_DIAG_SHUTDOWN, 0);
	assert_int_equal(message_see(&m, &s), MNL_CB_OK);
	assert_int_equal(s.last.state, TCP_STATE_SYN_RECV);
	/* Only there: an established socket without attributes is one. */
	m = message_make(AF_INET, TCP_STATE_ESTABLISHED);
	assert_int_equal(message_see(&m, &s), MNL_CB_OK);
	assert_int_equal(s.last.state, TCP_STATE_ESTABLISHED);
}

static void message_cut_or_foreign_is_refused(void **state)
{
	struct message m = message_make(AF_INET, TCP_STATE_ESTABLISHED);
	struct seen s = { 0 };

	(void)state;
	m.nlh.nlmsg_len--;
	assert_int_equal(message_see(&m, &s), MNL_CB_ERROR);
	assert_int_equal(errno, EBADMSG);
	m = message_make(AF_INET, TCP_STATE_ESTABLISHED);
	m.nlh.nlmsg_type = 20;
	assert_int_equal(message_see(&m, &s), MNL_CB_ERROR);
	m = message_make(AF_INET, TCP_STATE_SYN_RECV);
	mnl_attr_put_u32(&m.nlh, INET_DIAG_MARK, 1);
	m.nlh.nlmsg_len -= 2;
	assert_int_equal(message_see(&m, &s), MNL_CB_ERROR);
	assert_int_equal(s.n, 0);
	/* A family this program does not know is none of its sockets. */
	m = message_make(AF_UNIX, TCP_STATE_ESTABLISHED);
	assert_int_equal(message_see(&m, &s), MNL_CB_OK);
	assert_int_equal(s.n, 0);
}

static void message_passes_on_the_callers_error(void **state)
{
	struct message m = message_make(AF_INET, TCP_STATE_ESTABLISHED);
	struct seen s = { .answer = -ENOMEM };

	(void)state;
	assert_int_equal(message_see(&m, &s), MNL_CB_ERROR);
	assert_int_equal(errno, ENOMEM);
}

static void line_gives_the_socket(void **state)
{
	struct tcp_sock sk;

	(void)state;
	assert_int_equal(sock_line("   0: " LOOPBACK "01 00000009:00000007 " FULL, AF_INET, &sk), 0);
	assert_int_equal(sk.state, TCP_STATE_ESTABLISHED);
	assert_memory_equal(sk.local.addr, mapped_local, 16);
	assert_memory_equal(sk.remote.addr, mapped_remote, 16);
	assert_int_equal(sk.local.port, 8080);
	assert_int_equal(sk.remote.port, 53);
	assert_int_equal(sk.wqueue, 9);
	assert_int_equal(sk.rqueue, 7);
	/* Numbers from 10000 on are not padded. */
	assert_int_equal(sock_line("123456: " LOOPBACK "06 FFFFFFFF:00000000 " REST, AF_INET, &sk),
			 0);
	assert_int_equal(sk.wqueue, UINT32_MAX);
}

static void line_has_ipv6_in_words(void **state)
{
	static const char text[] =
		"   0: 0000000000000000FFFF00000100007F:1F90 000000FD000000000000000001000000:0035 0A "
		"00000000:00000003 " FULL;
	struct tcp_sock sk;

	(void)state;
	assert_int_equal(sock_line(text, AF_INET6, &sk), 0);
	assert_memory_equal(sk.local.addr, mapped_local, 16);
	assert_int_equal(sk.remote.addr[3], 0x00);
	assert_int_equal(sk.remote.addr[0], 0xfd);
	assert_int_equal(sk.remote.addr[12], 0x00);
	assert_int_equal(sk.remote.addr[15], 0x01);
	assert_int_equal(sk.rqueue, 3);
}

static void line_tells_a_request_from_a_socket(void **state)
{
	struct tcp_sock sk;

	(void)state;
	assert_int_equal(sock_line("   0: " LOOPBACK "03 00000000:00000000 " REST, AF_INET, &sk), 0);
	assert_int_equal(sk.state, TCP_STATE_NEW_SYN_RECV);
	assert_int_equal(sock_line("   0: " LOOPBACK "03 00000000:00000000 " FULL, AF_INET, &sk), 0);
	assert_int_equal(sk.state, TCP_STATE_SYN_RECV);
}

static void line_of_another_form_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"   0",
		"   0: ",
		"   0:" LOOPBACK "01 00000000:00000000 " FULL,
		"   0: 0100007F 0200007F 01 00000000:00000000 " FULL,
		"   0: 0100007F:1F9 0200007F:0035 01 00000000:00000000 " FULL,
		"   0: 0100007G:1F90 0200007F:0035 01 00000000:00000000 " FULL,
		"   0: 0100007F:1F90 0200007F:00351 01 00000000:00000000 " FULL,
		"   0: " LOOPBACK "1 00000000:00000000 " FULL,
		"   0: " LOOPBACK "01 00000000-00000000 " FULL,
		"   0: " LOOPBACK "01 00000000:0000",
		"   0: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000200007F:0035 01 00000000:00000000 ",
	};
	struct tcp_sock sk;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(sock_line(wrong[i], AF_INET, &sk), -EBADMSG);
	assert_int_equal(sock_line("   0: " LOOPBACK "01 00000000:00000000 " FULL, AF_INET6, &sk),
			 -EBADMSG);
}

static int file_see(const char *text, size_t len, struct seen *s)
{
	auto_close int fd = memfd_create("tcp", MFD_CLOEXEC);
	struct file f = { .family = AF_INET, .fn = see, .arg = s };

	assert_int_equal(write(fd, text, len), len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return file_each(&f, fd);
}

/* Far more than the reader holds at once, so that lines are cut at its edges. */
static void file_of_any_size_is_read(void **state)
{
	struct buf b = { 0 };
	struct seen s = { 0 };

	(void)state;
	buf_str(&b, HEADER);
	for (unsigned int i = 0; i < 2000; i++)
		buf_printf(&b, "%4u: " LOOPBACK "01 %08X:00000000 " FULL "%*s\n", i, i,
			   (int)(i % 17), "");
	assert_int_equal(file_see(b.data, b.len, &s), 0);
	assert_int_equal(s.n, 2000);
	assert_int_equal(s.last.wqueue, 1999);
	/* Without its last byte it is cut off, and that is not the end of the sockets. */
	assert_int_equal(file_see(b.data, b.len - 1, &s), -EBADMSG);
	buf_free(&b);
}

static void file_without_header_or_lines(void **state)
{
	struct seen s = { 0 };
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(file_see(HEADER, strlen(HEADER), &s), 0);
	assert_int_equal(file_see("", 0, &s), -EBADMSG);
	assert_int_equal(file_see("nonsense\n", 9, &s), -EBADMSG);
	assert_int_equal(file_see(HEADER "\n", strlen(HEADER) + 1, &s), -EBADMSG);
	for (size_t i = 0; i < 40000; i++)
		buf_str(&b, "x");
	assert_int_equal(file_see(b.data, b.len, &s), -EBADMSG);
	assert_int_equal(s.n, 0);
	buf_free(&b);
}

static void file_ends_with_the_callers_error(void **state)
{
	static const char text[] = HEADER "   0: " LOOPBACK "01 00000000:00000000 " FULL
					  "\n   1: " LOOPBACK "01 00000000:00000000 " FULL "\n";
	struct seen s = { .answer = -ENOMEM };

	(void)state;
	assert_int_equal(file_see(text, strlen(text), &s), -ENOMEM);
	assert_int_equal(s.n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(message_gives_the_socket),
		cmocka_unit_test(message_keeps_ipv6_addresses),
		cmocka_unit_test(message_tells_a_request_from_a_socket),
		cmocka_unit_test(message_cut_or_foreign_is_refused),
		cmocka_unit_test(message_passes_on_the_callers_error),
		cmocka_unit_test(line_gives_the_socket),
		cmocka_unit_test(line_has_ipv6_in_words),
		cmocka_unit_test(line_tells_a_request_from_a_socket),
		cmocka_unit_test(line_of_another_form_is_refused),
		cmocka_unit_test(file_of_any_size_is_read),
		cmocka_unit_test(file_without_header_or_lines),
		cmocka_unit_test(file_ends_with_the_callers_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
