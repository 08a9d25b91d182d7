/*
 * Layers with something of every kind in them: directories of one layer, merged,
 * opaque and redirected ones, hidden names, files of one and of several links,
 * symlinks, and what is special. And the model of what they show.
 */
#ifndef VENEER_TESTS_MOVES_LAYERS_H
#define VENEER_TESTS_MOVES_LAYERS_H

#include "tests/moves/model.h"

/*
 * Fill the directories `high` over `low`, and `upper` (NULL: there is none),
 * which have nothing in them but names that the model leaves out: those that
 * begin with '.', and lost+found. Marks are user.* attributes, or trusted.*.
 */
void layers_make(const char *high, const char *low, const char *upper,
                 bool userxattr, struct model *model);

#endif
