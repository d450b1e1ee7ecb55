/* rules: which delivery_rule holds. The first in the file's order of which everything that it
 * names matches: one of its sites, one of its MX names, one of its domains, one of its senders,
 * one of its listeners; what it does not name, matches. None: the sections deliver and retry.
 *
 * A domain is that of the recipient, or the name of the next hop it is routed to. What a message is
 * (sender, listener, the recipient's domain where its next hop is another one) is known before
 * where it goes is; the site is known when its DNS was asked. So qmgr notes with a destination
 * which rules may hold for the sake of these (its classes: their names), and the rest is decided
 * by next hop and site alone. */
#ifndef POSTERN_CONFIG_RULES_H
#define POSTERN_CONFIG_RULES_H

#include "config/config.h"

/* The sender is an address, "" for reports; domain: the recipient's; hop: the name of the next hop.
 * Appends "name,name" of the rules that may hold, or nothing. */
void config_rules_classes(const struct config *cfg, struct span sender, struct span listener,
                          struct span domain, struct span hop, struct buf *out);
/* The rule for mail of these classes to this next hop, by number from 1; 0: none. site: the key of
 * the MX set ("mx:a.example,b.example", "host:[...]:25"); empty: it is not known yet. */
uint32_t config_rules_at(const struct config *cfg, struct span classes, struct span hop,
                         struct span site);
/* The key under which the site's limits are counted: all mail of one rule that does not hold for
 * the whole of a site has its own share there: "mx:a.example by:big". */
void config_rules_put_site(const struct config *cfg, uint32_t rule, struct span site,
                           struct buf *out);
/* Of a destination's key: "mx:example.org by:big,late": "example.org", "big,late". */
struct span config_rules_domain(struct span dest);
struct span config_rules_classes_in(struct span dest);
/* "mx:a.example" of "mx:a.example by:big". */
struct span config_rules_plain_site(struct span key);

enum { CONFIG_RULES_CLASSES_MAX = CONFIG_RULES_MAX * 66 }; /* bytes */

/* Without regard to case; "*" stands for anything. */
bool config_glob(struct span pattern, struct span text);

/* "100/s", "20/m", "500/h". False: not one. */
bool config_rate_parse(struct span text, uint32_t *count_r, int64_t *per_ms_r);

/* config_check_fn for its options. */
bool check_rate(struct span s, struct err *e);
bool check_delay(struct span s, struct err *e);
bool check_pattern(struct span s, struct err *e);
bool check_rule_sender(struct span s, struct err *e);

/* What is wrong with the rules as a whole, and what of them can never hold. */
typedef void config_rules_say_fn(void *arg, enum config_level level, size_t rule,
                                 const char *option, const char *text);
void config_rules_check(const struct config *cfg, config_rules_say_fn *say, void *arg);

#endif
