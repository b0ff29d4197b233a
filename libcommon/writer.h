/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file replaced in one step, for -w. Prints nothing. */
#ifndef SKOOP_WRITER_H
#define SKOOP_WRITER_H

#include <stddef.h>

/*
 * Whether file_replace() may be used on path: 0; -EINVAL: it is there and no regular file (a link, a device), whose
 * name a rename would take away; other -errno: no file can be made beside it.
 */
int file_check(const char *path);

/*
 * Puts data in the place of path's content, so that a reader sees the old file or the new, never a part: a temporary
 * `.<base>.XXXXXX` in the same directory, mode 0644, renamed. 0 or -errno, then path is as it was and nothing is left
 * beside it. SIGINT, SIGTERM and SIGHUP wait until it is done.
 */
int file_replace(const char *path, const void *data, size_t len);

#endif
