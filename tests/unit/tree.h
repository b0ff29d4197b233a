/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A directory of a test's own, made of paths and texts, gone at its end. */
#ifndef SKOOP_TESTS_TREE_H
#define SKOOP_TESTS_TREE_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct tree {
	char root[64];
};

static inline void tree_open(struct tree *t)
{
	snprintf(t->root, sizeof(t->root), "/tmp/skoop-test-XXXXXX");
	assert_non_null(mkdtemp(t->root));
}

static int tree_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static inline void tree_close(const struct tree *t)
{
	assert_int_equal(nftw(t->root, tree_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* The full path of one below the tree; good until the next but three. */
static inline const char *tree_path(const struct tree *t, const char *path)
{
	static char paths[4][1024];
	static unsigned int next;
	char *full = paths[next++ % 4];

	snprintf(full, sizeof(paths[0]), "%s/%s", t->root, path);
	return full;
}

/* Makes the directories above the last component. */
static inline const char *tree_parents(const struct tree *t, const char *path)
{
	const char *full = tree_path(t, path);
	char part[1024];

	for (const char *p = full + strlen(t->root); (p = strchr(p + 1, '/'));) {
		snprintf(part, sizeof(part), "%.*s", (int)(p - full), full);
		mkdir(part, 0755);
	}
	return full;
}

static inline void tree_bytes(const struct tree *t, const char *path, const char *data, size_t len)
{
	FILE *f = fopen(tree_parents(t, path), "w");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static inline void tree_file(const struct tree *t, const char *path, const char *text)
{
	tree_bytes(t, path, text, strlen(text));
}

static inline void tree_link(const struct tree *t, const char *path, const char *to)
{
	assert_int_equal(symlink(to, tree_parents(t, path)), 0);
}

#endif
