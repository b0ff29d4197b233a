/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process: standard descriptors, stop signals, time and waiting. */
#ifndef SKOOP_PROCESS_H
#define SKOOP_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pollfd;

/*
 * Call first. Descriptors 0 and 2 that are closed become /dev/null; a closed 1 becomes one that cannot be written, so
 * that no later file is taken for it. SIGPIPE and SIGXFSZ are ignored: they show as write errors. SIGINT, SIGTERM and
 * SIGHUP ask to stop, one more than 200 ms later kills; those ignored at start stay ignored.
 */
void process_start(void);
/* Undoes what a child would inherit: call between fork and exec. Then signals end it as they do any program. */
void process_restore(void);

/* Whether a signal asked to stop. */
bool process_stopping(void);

/* CLOCK_MONOTONIC in ns. */
uint64_t process_now(void);

/*
 * Sleeps until `due` (process_now() time). 0: it is due; -EINTR: asked to stop; -EPIPE: the reader of fd left (-1:
 * nobody to watch).
 */
int process_wait(uint64_t due, int fd);

/*
 * poll() until `due`: the number of ready descriptors, 0: it is due. -EINTR: a signal came, or one has asked to stop
 * already and the caller does not know (`stopping` is false); other -errno.
 */
int process_poll(struct pollfd *fds, size_t n, uint64_t due, bool stopping);

/* Writes all of it: goes on after EINTR, waits on a full non-blocking descriptor. 0 or -errno. */
int process_write(int fd, const void *data, size_t len);

#endif
