#include "role/role.h"

const struct role_ops *role_ops_of(enum role_id role)
{
    static const struct role_ops *const table[ROLE_COUNT] = {
        [ROLE_QMGR] = &qmgr_role,       [ROLE_ROUTER] = &router_role,
        [ROLE_RESOLVER] = &resolver_role, [ROLE_KEYRING] = &keyring_role,
        [ROLE_CONTROL] = &control_role, [ROLE_DELIVER] = &deliver_role,
        [ROLE_SMTPD] = &smtpd_role,     [ROLE_PICKUP] = &pickup_role,
        [ROLE_LOCAL] = &local_role,     [ROLE_WATCH] = &watch_role,
    };
    return table[role];
}
