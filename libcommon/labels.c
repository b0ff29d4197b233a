// SPDX-License-Identifier: GPL-2.0-or-later
/* Further labels of a value, kept beyond the call that brought them. */
#include "labels.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int labels_copy(const struct label *from, struct label **to)
{
	size_t n = 0, bytes = 0;
	char *text;

	for (; from && from[n].name; n++)
		bytes += strlen(from[n].value) + 1;
	*to = calloc(1, (n + 1) * sizeof(**to) + bytes);
	if (!*to)
		return -ENOMEM;
	text = (char *)(*to + n + 1);
	for (size_t i = 0; i < n; i++) {
		(*to)[i] = (struct label){ from[i].name, text };
		text = stpcpy(text, from[i].value) + 1;
	}
	return 0;
}
