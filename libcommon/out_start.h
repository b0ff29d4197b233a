/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an output looks at before it starts and on the way. For out.c. */
#ifndef SKOOP_OUT_START_H
#define SKOOP_OUT_START_H

#include "out.h"

/* Whether probe and options fit and there is somewhere to write: 0, or -errno after one msg_error (-EINVAL: usage). */
int out_check(const struct probe *p, const struct options *opt);
struct out_env out_look_around(const struct options *opt);
/* Its size, if it is one: it can change at any time. */
void out_look_at_terminal(struct out_env *env);

#endif
