/* The words of a filter, and what they say of facts that come from the same bytes: nothing that a
 * group answers for sure may be answered otherwise of one of its members. */
#include "base/must.h"
#include "queue/filter.h"
#include "queue/reason.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The lines: words, until an empty one; then the facts. */
static struct span next_line(struct span *rest)
{
    struct span line = span_to(*rest, span_find(*rest, '\n'));
    *rest = span_from(*rest, line.n + 1);
    return line;
}

static struct queue_addr address(struct span s)
{
    size_t at = span_rfind(s, '@');
    if (at == s.n)
        return (struct queue_addr){ .local = s };
    return (struct queue_addr){ .local = span_to(s, at), .domain = span_from(s, at + 1) };
}

static void facts_of(struct span rest, struct queue_facts *x)
{
    *x = (struct queue_facts){ .known = (1u << QUEUE_FIELDS) - 1 };
    x->from_domain_known = x->to_domain_known = true;
    x->id = next_line(&rest);
    x->from = address(next_line(&rest));
    x->to = address(next_line(&rest));
    x->site = next_line(&rest);
    x->listener = next_line(&rest);
    x->reason = next_line(&rest);
    x->client.family = rest.n & 1 ? NETADDR_V4 : NETADDR_NONE;
    x->state = (enum queue_state)(rest.n % QUEUE_STATES);
    x->age_ms = (int64_t)rest.n * 1000;
    x->size_bytes = rest.n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span rest = span_of(data, n), line;
    struct queue_filter *f = queue_filter_new();
    struct queue_facts whole, group;
    struct err err;
    while ((line = next_line(&rest)).n > 0)
        queue_filter_word(f, line, &err);
    facts_of(rest, &whole);
    enum queue_match one = queue_filter_match(f, &whole);
    uint32_t bits = queue_filter_rcpt(f, &whole), wants = queue_filter_wants(f);
    MUST((one == QUEUE_NO) == (bits == 0)); /* MAYBE: another recipient may have the rest */
    MUST((one == QUEUE_YES) == ((bits & wants) == wants));
    group = whole;
    group.known = 1u << QUEUE_DOMAIN | 1u << QUEUE_SITE | 1u << QUEUE_STATE;
    group.to.local = group.from.local = SPAN_NONE;
    /* A group has domains in lower case. */
    enum queue_match all = queue_filter_match(f, &group);
    MUST(all == QUEUE_MAYBE || all == one);
    char class[QUEUE_CLASS_MAX];
    size_t len = queue_reason_class(whole.reason, class);
    MUST(len <= sizeof class);
    queue_filter_free(&f);
    return 0;
}
