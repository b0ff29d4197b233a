// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What names of the contract mean whose probes may not be here: the metrics and events of those
 * that trace the kernel. A probe that is here answers for itself, so a table ends where its probe
 * begins.
 */
#include "skoop.h"

const struct term terms[] = {
	{}
};
