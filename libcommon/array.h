/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Growing arrays. */
#ifndef SKOOP_ARRAY_H
#define SKOOP_ARRAY_H

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

/* The array with room for `want` elements, moved if need be; NULL: out of memory, then it is as it was. */
static inline void *array_room(void *array, size_t *size, size_t want, size_t element)
{
	size_t n = *size ? *size : 16;

	if (array && want <= *size)
		return array;
	while (n < want)
		n *= 2;
	array = reallocarray(array, n, element);
	if (array)
		*size = n;
	return array;
}

/* Makes room for `want` elements in *array, which has room for *size of them. 0 or -ENOMEM. */
#define array_grow(array, size, want)                                                              \
	({                                                                                         \
		void *room_ = array_room(*(array), (size), (want), sizeof(**(array)));             \
		if (room_)                                                                         \
			*(array) = room_;                                                          \
		room_ ? 0 : -ENOMEM;                                                               \
	})

#endif
