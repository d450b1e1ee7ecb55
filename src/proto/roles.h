/* The roles of one gateway, and which of them speak with which. */
#ifndef POSTERN_PROTO_ROLES_H
#define POSTERN_PROTO_ROLES_H

#include <stdbool.h>

enum role_id {
    ROLE_MASTER,
    ROLE_QMGR,
    ROLE_ROUTER,
    ROLE_RESOLVER,
    ROLE_KEYRING,
    ROLE_CONTROL,
    ROLE_DELIVER,
    ROLE_SMTPD,
    ROLE_LOCAL,  /* one for each delivery, given a descriptor by master */
    ROLE_PICKUP,
    ROLE_WATCH,
    ROLE_COUNT,
};

/* Pairs with a channel between them; every instance of the one with every one of the other. */
#define ROLE_PAIRS(P) \
    P(SMTPD, ROUTER)      /* proto/smtpd_router.h */ \
    P(SMTPD, QMGR)        /* proto/smtpd_qmgr.h */ \
    P(SMTPD, KEYRING)     /* proto/smtpd_keyring.h */ \
    P(PICKUP, SMTPD)      /* proto/pickup_smtpd.h */ \
    P(QMGR, ROUTER)       /* proto/qmgr_router.h */ \
    P(QMGR, DELIVER)      /* proto/qmgr_deliver.h */ \
    P(QMGR, RESOLVER)     /* proto/qmgr_resolver.h */ \
    P(DELIVER, RESOLVER)  /* proto/deliver_resolver.h */ \
    P(ROUTER, RESOLVER)   /* proto/router_resolver.h */ \
    P(ROUTER, DELIVER)    /* proto/router_deliver.h */ \
    P(CONTROL, QMGR)      /* proto/control.h */ \
    P(CONTROL, ROUTER)    /* proto/control.h */ \
    P(CONTROL, RESOLVER)  /* proto/control.h */ \
    P(CONTROL, WATCH)     /* proto/control.h */ \
    P(WATCH, QMGR)        /* proto/watch_qmgr.h */ \
    P(WATCH, RESOLVER)    /* proto/deliver_resolver.h */ \
    P(WATCH, SMTPD)       /* proto/watch_smtpd.h */

const char *role_name(enum role_id role); /* "qmgr" */
bool role_find(const char *name, enum role_id *role_r);

#endif
