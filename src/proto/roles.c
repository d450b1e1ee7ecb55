#include "proto/roles.h"

#include <string.h>

static const char *const names[ROLE_COUNT] = {
    [ROLE_MASTER] = "master",   [ROLE_QMGR] = "qmgr",       [ROLE_ROUTER] = "router",
    [ROLE_RESOLVER] = "resolver", [ROLE_KEYRING] = "keyring", [ROLE_CONTROL] = "control",
    [ROLE_DELIVER] = "deliver", [ROLE_SMTPD] = "smtpd",
    [ROLE_PICKUP] = "pickup",   [ROLE_LOCAL] = "local",
    [ROLE_WATCH] = "watch",
};

const char *role_name(enum role_id role) { return names[role]; }

bool role_find(const char *name, enum role_id *role_r)
{
    for (int i = 0; i < ROLE_COUNT; i++) {
        if (strcmp(names[i], name) == 0) {
            *role_r = (enum role_id)i;
            return true;
        }
    }
    return false;
}
