/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Further labels of a value, kept beyond the call that brought them. */
#ifndef SKOOP_LABELS_H
#define SKOOP_LABELS_H

#include "probe.h"

/*
 * Copies a list and its values in one allocation; names are constants of the caller. from: ended by {}, or NULL. *to is to be
 * freed, and always ended by {}. 0 or -ENOMEM.
 */
int labels_copy(const struct label *from, struct label **to);

#endif
