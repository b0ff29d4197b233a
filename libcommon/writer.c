// SPDX-License-Identifier: GPL-2.0-or-later
/* A file replaced in one step. */
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "process.h"
#include "util.h"

/* The template for mkostemp beside path. Its name does not end like path's: a collector of *.prom passes it by. */
static int temp_name(const char *path, struct buf *name)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;

	if (!*base)
		return -EISDIR;
	buf_add(name, path, (size_t)(base - path));
	buf_str(name, ".");
	buf_str(name, base);
	buf_str(name, ".XXXXXX");
	return name->failed ? -ENOMEM : 0;
}

static int temp_fill(int fd, const void *data, size_t len)
{
	int err;

	/* Whatever the umask: the collector that reads it is another user. */
	if (fchmod(fd, 0644)) {
		err = -errno;
		close(fd);
		return err;
	}
	err = process_write(fd, data, len);
	if (close(fd) && !err)
		err = -errno;
	return err;
}

static int temp_write(const char *path, const void *data, size_t len, bool keep)
{
	struct buf name = { 0 };
	int err = temp_name(path, &name);

	if (!err) {
		int fd = mkostemp(name.data, O_CLOEXEC);

		err = fd < 0 ? -errno : temp_fill(fd, data, len);
		if (!err && keep && rename(name.data, path))
			err = -errno;
		if (fd >= 0 && (err || !keep))
			unlink(name.data);
	}
	buf_free(&name);
	return err;
}

/* As temp_write, with the signals that end a run held back: none may leave the temporary behind. */
static int temp_write_whole(const char *path, const void *data, size_t len, bool keep)
{
	sigset_t hold, before;
	int err;

	sigemptyset(&hold);
	sigaddset(&hold, SIGINT);
	sigaddset(&hold, SIGTERM);
	sigaddset(&hold, SIGHUP);
	sigprocmask(SIG_BLOCK, &hold, &before);
	err = temp_write(path, data, len, keep);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return err;
}

int file_check(const char *path)
{
	struct stat st;

	if (!lstat(path, &st)) {
		if (!S_ISREG(st.st_mode))
			return -EINVAL;
	} else if (errno != ENOENT) {
		return -errno;
	}
	return temp_write_whole(path, NULL, 0, false);
}

int file_replace(const char *path, const void *data, size_t len)
{
	return temp_write_whole(path, data, len, true);
}
