#include "queue/filter.h"

#include "base/domain.h"
#include "base/must.h"
#include "base/num.h"
#include "envelope/queueid.h"
#include "queue/reason.h"

#include <stdlib.h>

enum { SEEN_BITS = 12 };

struct term {
    enum queue_field field;
    bool any, negated, part; /* "any.", "!", "~" */
    bool is_id;              /* of a target */
    char op;
    char value[QUEUE_VALUE_MAX];
    size_t value_len;
    uint32_t states; /* bits */
    int64_t age_ms;
    uint64_t size_bytes;
    struct cidr net;
    uint64_t *seen; /* of texts with numbers: by the upper bits of those; lowest bit: it holds */
};

struct queue_filter {
    struct term terms[QUEUE_TERMS_MAX];
    size_t n;
};

static const char *const state_names[QUEUE_STATES] = {
    [QUEUE_READY] = "ready",       [QUEUE_ACTIVE] = "active",
    [QUEUE_DEFERRED] = "deferred", [QUEUE_FROZEN] = "frozen",
    [QUEUE_WAITING] = "waiting",   [QUEUE_HELD] = "held",
    [QUEUE_QUARANTINED] = "quarantined",
};

const char *queue_state_name(enum queue_state state)
{
    MUST(state < QUEUE_STATES);
    return state_names[state];
}

bool queue_state_of(struct span name, enum queue_state *state_r)
{
    for (int i = 0; i < QUEUE_STATES; i++) {
        if (!span_ieq(name, span_str(state_names[i])))
            continue;
        *state_r = (enum queue_state)i;
        return true;
    }
    return false;
}

/* --- reading --- */

static int take_states(struct term *t, struct span value, struct err *err)
{
    while (value.n) {
        enum queue_state state;
        struct span name = span_to(value, span_find(value, ','));
        value = span_from(value, name.n + 1);
        if (!queue_state_of(name, &state)) {
            err_set(err, "\"%.*s\" is no state: ready, active, deferred, frozen, waiting, "
                    "held, quarantined",
                    SPAN_ARG(span_to(name, 40)));
            return -1;
        }
        t->states |= 1u << state;
    }
    if (t->states)
        return 1;
    err_set(err, "which state?");
    return -1;
}

/* Domains are compared in one form. */
static void fold_domain(struct term *t)
{
    static const uint32_t have = 1u << QUEUE_FROM | 1u << QUEUE_TO | 1u << QUEUE_DOMAIN |
                                 1u << QUEUE_TARGET;
    struct span v = span_of(t->value, t->value_len);
    size_t at = span_rfind(v, '@'), begins = at < v.n ? at + 1 : 0;
    char text[QUEUE_VALUE_MAX];
    if (!(have >> t->field & 1) || t->is_id)
        return;
    begins += span_starts(span_from(v, begins), SPAN("."));
    size_t n = domain_rewritten(span_from(v, begins), text, sizeof text - begins);
    if (!n) /* compared without regard to case */
        return;
    memcpy(t->value + begins, text, n);
    t->value_len = begins + n;
}

/* What people copy from a log or from dig. */
static struct span named(const struct term *t, struct span value)
{
    static const uint32_t names = 1u << QUEUE_ID | 1u << QUEUE_FROM | 1u << QUEUE_TO |
                                  1u << QUEUE_DOMAIN | 1u << QUEUE_SITE | 1u << QUEUE_TARGET;
    if (t->part || !(names >> t->field & 1))
        return value;
    value = domain_bare(value);
    return span_from(value, t->field == QUEUE_TARGET && value.n > 1 && value.p[0] == '@');
}

static int take_text(struct term *t, struct span value, struct err *err)
{
    value = named(t, value);
    if (value.n == 0 || value.n > sizeof t->value) {
        err_set(err, value.n ? "a text of more than %d bytes" : "a text is missing",
                QUEUE_VALUE_MAX);
        return -1;
    }
    memcpy(t->value, value.p, value.n);
    t->value_len = value.n;
    if (t->field == QUEUE_DOMAIN && span_find(value, '@') < value.n) {
        err_set(err, "\"%.*s\" has an @, and so is no domain: \"to\" takes addresses",
                SPAN_ARG(span_to(value, 40)));
        return -1;
    }
    if (!t->part)
        fold_domain(t);
    if (t->field != QUEUE_CLIENT || t->part)
        return 1;
    return cidr_parse(value, &t->net, err) ? 1 : -1;
}

/* A whole one is one that there could be. */
static int take_id(struct term *t, struct span value, struct err *err)
{
    uint64_t seq;
    if (t->part || span_find(value, '*') < value.n || queueid_seq(named(t, value), &seq))
        return take_text(t, value, err);
    err_set(err, "\"%.*s\" is no message's id (a part of one: \"~PART\", or with \"*\")",
            SPAN_ARG(span_to(value, 40)));
    return -1;
}

static int take_target(struct term *t, struct span value, struct err *err)
{
    uint64_t seq;
    t->is_id = queueid_seq(named(t, value), &seq);
    return take_text(t, value, err);
}

static int take_age(struct term *t, struct span value, struct err *err)
{
    if (num_duration_ms(value, &t->age_ms))
        return 1;
    err_set(err, "\"%.*s\" is no age: 90s, 2h, 1h30m, 5d", SPAN_ARG(span_to(value, 40)));
    return -1;
}

/* "10k" and "100KB" are what "10K" and "100K" are. */
static int take_size(struct term *t, struct span value, struct err *err)
{
    char text[32];
    struct span v = value;
    size_t n = 0;
    if (v.n > 1 && ascii_lower(v.p[v.n - 1]) == 'b')
        v.n--;
    for (; n < v.n && n < sizeof text; n++) {
        char c = v.p[n];
        text[n] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    if (n == v.n && num_size_bytes(span_of(text, n), &t->size_bytes))
        return 1;
    err_set(err, "\"%.*s\" is no size: 312, 10K, 1M", SPAN_ARG(span_to(value, 40)));
    return -1;
}

static const struct field {
    const char *name, *ops;
    int (*take)(struct term *t, struct span value, struct err *err);
} fields[QUEUE_FIELDS] = {
    [QUEUE_ID] = { "id", "=~", take_id },
    [QUEUE_FROM] = { "from", "=~", take_text },
    [QUEUE_TO] = { "to", "=~", take_text },
    [QUEUE_DOMAIN] = { "domain", "=~", take_text },
    [QUEUE_SITE] = { "site", "=~", take_text },
    [QUEUE_CLIENT] = { "client", "=~", take_text },
    [QUEUE_LISTENER] = { "listener", "=~", take_text },
    [QUEUE_REASON] = { "reason", "=~", take_text },
    [QUEUE_TARGET] = { "target", "=", take_target },
    [QUEUE_STATE] = { "state", "=", take_states },
    [QUEUE_AGE] = { "age", "<>", take_age },
    [QUEUE_SIZE] = { "size", "<>", take_size },
};

static size_t name_length(struct span word)
{
    size_t n = 0;
    while (n < word.n && ascii_isalpha(word.p[n]))
        n++;
    return n;
}

int queue_filter_word(struct queue_filter *f, struct span word, struct err *err)
{
    bool any = span_starts(word, SPAN("any."));
    word = span_from(word, any ? 4 : 0);
    bool negated = word.n && word.p[0] == '!';
    word = span_from(word, negated);
    struct span name = span_to(word, name_length(word));
    int field = 0;
    while (field < QUEUE_FIELDS && !span_ieq(name, span_str(fields[field].name)))
        field++;
    if (field == QUEUE_FIELDS)
        return 0;
    char op = name.n < word.n ? word.p[name.n] : '\0';
    if (!op || !strchr(fields[field].ops, op)) {
        err_set(err, "after \"%s\" stands one of \"%s\" and a value", fields[field].name,
                fields[field].ops);
        return -1;
    }
    if (f->n == QUEUE_TERMS_MAX) {
        err_set(err, "more than %d conditions", QUEUE_TERMS_MAX);
        return -1;
    }
    struct term *t = &f->terms[f->n];
    *t = (struct term){ .field = (enum queue_field)field,
                        .any = any,
                        .negated = negated,
                        .part = op == '~',
                        .op = op };
    int rc = fields[field].take(t, span_from(word, name.n + 1), err);
    if (rc == 1 && (t->field == QUEUE_SITE || t->field == QUEUE_REASON))
        t->seen = must_calloc(1 << SEEN_BITS, sizeof *t->seen);
    f->n += rc == 1;
    return rc;
}

struct queue_filter *queue_filter_new(void) { return NEW(struct queue_filter); }

void queue_filter_free(struct queue_filter **f)
{
    for (size_t i = 0; *f && i < (*f)->n; i++)
        free((*f)->terms[i].seen);
    free(*f);
    *f = NULL;
}

bool queue_filter_empty(const struct queue_filter *f) { return f->n == 0; }

uint32_t queue_filter_fields(const struct queue_filter *f)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < f->n; i++)
        bits |= 1u << f->terms[i].field;
    return bits;
}

void queue_filter_any_stage(struct queue_filter *f)
{
    const uint32_t stages = 1u << QUEUE_READY | 1u << QUEUE_ACTIVE | 1u << QUEUE_DEFERRED;
    for (size_t i = 0; i < f->n; i++) {
        struct term *t = &f->terms[i];
        if (t->negated && (t->states & stages) != stages)
            t->states &= ~stages;
        else if (t->states & stages)
            t->states |= stages;
    }
}

static struct span value_of(const struct term *t) { return span_of(t->value, t->value_len); }

struct span queue_filter_exact(const struct queue_filter *f, enum queue_field field)
{
    const struct term *found = NULL;
    for (size_t i = 0; i < f->n; i++) {
        const struct term *t = &f->terms[i];
        bool open = t->part || t->value[0] == '.' ||
                    (field != QUEUE_TARGET && memchr(t->value, '*', t->value_len));
        if (t->field != field)
            continue;
        if (found || t->any || t->negated || open)
            return SPAN_NONE;
        found = t;
    }
    return found ? value_of(found) : SPAN_NONE;
}

/* --- matching --- */

/* Whether text matches a pattern with "*", ASCII letters alike. Greedy with one place to come back
 * to: linear but for the last star. A million names may be asked whether they end in something. */
static bool queue_wild(struct span pattern, struct span text)
{
    if (pattern.n && pattern.p[0] == '*' && span_rfind(pattern, '*') == 0)
        return span_iends(text, span_from(pattern, 1));
    size_t p = 0, t = 0, star = SIZE_MAX, from = 0;
    while (t < text.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            from = t;
        } else if (p < pattern.n && ascii_lower(pattern.p[p]) == ascii_lower(text.p[t])) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

/* Most places are left out by their first byte: a million texts may be looked at. */
static bool has_part(struct span text, struct span part)
{
    if (part.n == 0)
        return true;
    char first = ascii_lower(part.p[0]);
    for (size_t i = 0; i + part.n <= text.n; i++)
        if (ascii_lower(text.p[i]) == first && span_ieq(span_of(text.p + i, part.n), part))
            return true;
    return false;
}

/* ".example.com" is all below it. */
static bool domain_is(struct span pattern, struct span domain)
{
    if (!span_starts(pattern, SPAN(".")))
        return queue_wild(pattern, domain);
    for (size_t i = 1; i < domain.n; i++)
        if (domain.p[i] == '.' && queue_wild(pattern, span_from(domain, i)))
            return true;
    return false;
}

bool queue_place_has(struct span place, struct span pattern)
{
    struct span rest = span_from(place, span_find(place, ':') + 1);
    while (rest.n) {
        bool closed = rest.p[0] == '[';
        size_t n = closed ? span_find(rest, ']') : 0;
        while (n < rest.n && !strchr(",: ", rest.p[n]))
            n++;
        struct span host = span_to(rest, n);
        if (n && queue_wild(pattern, host))
            return true;
        if (closed && n > 2 && queue_wild(pattern, span_of(host.p + 1, n - 2)))
            return true;
        rest = span_from(rest, n + 1);
    }
    return false;
}

static bool text_holds(const struct term *t, struct span text)
{
    return t->part ? has_part(text, value_of(t)) : queue_wild(value_of(t), text);
}

static bool place_holds(const struct term *t, struct span place)
{
    return place.n && (text_holds(t, place) || (!t->part && queue_place_has(place, value_of(t))));
}

static enum queue_match holds(bool yes) { return yes ? QUEUE_YES : QUEUE_NO; }

static struct span domain_of(struct queue_addr a)
{
    return a.whole && !a.domain.n ? span_from(a.local, span_rfind(a.local, '@') + 1) : a.domain;
}

enum { ADDR_LOCAL_MAX = 1024, ADDR_DOMAIN_MAX = 256 };
struct addr_text {
    char text[ADDR_LOCAL_MAX + 1 + ADDR_DOMAIN_MAX];
};

/* As it is compared, or as it was given. */
static struct span addr_span(struct queue_addr a, bool given, struct addr_text *to)
{
    if (a.whole && a.domain.n && !given)
        a = (struct queue_addr){ .local = span_to(a.local, span_rfind(a.local, '@')),
                                 .domain = a.domain };
    struct span local = span_to(a.local, ADDR_LOCAL_MAX), d = span_to(a.domain, ADDR_DOMAIN_MAX);
    size_t n = local.n;
    if (n)
        memcpy(to->text, local.p, n);
    if (!a.whole && d.n) {
        to->text[n++] = '@';
        memcpy(to->text + n, d.p, d.n);
        n += d.n;
    }
    return span_of(to->text, n);
}

static bool addr_is(struct queue_addr a, struct span text)
{
    struct addr_text t;
    return span_ieq(addr_span(a, false, &t), text);
}

static bool addr_holds(const struct term *t, struct queue_addr a)
{
    struct addr_text text;
    struct span v = value_of(t);
    if (span_eq(v, SPAN("<>")))
        return a.local.n == 0 && a.domain.n == 0;
    if (text_holds(t, addr_span(a, t->part, &text)))
        return true;
    if (t->part)
        return false;
    /* "example.com" and "@example.com" */
    struct span domain = span_from(v, v.n && v.p[0] == '@');
    return span_find(domain, '@') == domain.n && domain_of(a).n &&
           domain_is(domain, domain_of(a));
}

/* What the domain alone decides; the local part is not known. */
static enum queue_match domain_decides(const struct term *t, struct span domain)
{
    struct span v = value_of(t);
    size_t at = span_rfind(v, '@');
    if (t->part || memchr(v.p, '*', v.n))
        return QUEUE_MAYBE;
    if (span_eq(v, SPAN("<>")))
        return domain.n ? QUEUE_NO : QUEUE_MAYBE;
    if (at == v.n) /* a local user of that name is possible without a domain only */
        return domain.n ? holds(domain_is(v, domain)) : QUEUE_MAYBE;
    if (at == 0 ? !domain_is(span_from(v, 1), domain) : !span_ieq(span_from(v, at + 1), domain))
        return QUEUE_NO;
    return at == 0 && domain.n ? QUEUE_YES : QUEUE_MAYBE;
}

static enum queue_match client_holds(const struct term *t, const struct netaddr *client)
{
    if (!t->part)
        return holds(client->family != NETADDR_NONE && cidr_match(&t->net, client));
    struct buf b;
    buf_init(&b, NETADDR_TEXT_MAX);
    netaddr_put_ip(&b, client);
    bool yes = has_part(buf_span(&b), value_of(t));
    buf_free(&b);
    return holds(yes);
}

/* A text as lists show it: the reason, what stands between, what was said before. */
static bool both_hold(const struct term *t, struct span reason, struct span before)
{
    struct span value = value_of(t), between = SPAN("; before that: ");
    size_t at = 0;
    while (at < value.n && !span_starts(span_from(value, at), between))
        at++;
    if (at == value.n)
        return false;
    struct span first = span_to(value, at), second = span_from(value, at + between.n);
    return t->part ? span_iends(reason, first) && span_istarts(before, second)
                   : queue_wild(first, reason) && queue_wild(second, before);
}

static bool says(const struct term *t, struct span reason, struct span before)
{
    return text_holds(t, reason) ||
           (before.n && (text_holds(t, before) || both_hold(t, reason, before)));
}

static enum queue_match reason_holds(const struct term *t, const struct queue_facts *x)
{
    bool yes = says(t, x->reason, x->before);
    bool is_open = x->reason_is_class &&
                   (x->reason.n >= QUEUE_CLASS_MAX || span_starts(x->reason, SPAN("(other ")) ||
                    span_find(x->reason, '*') < x->reason.n);
    return !yes && (is_open || x->before_open) ? QUEUE_MAYBE : holds(yes);
}

static enum queue_match addr_decides(const struct term *t, const struct queue_facts *x,
                                     const struct queue_addr *a, bool domain_known)
{
    if (x->known & 1u << t->field)
        return holds(addr_holds(t, *a));
    return domain_known && !a->whole ? domain_decides(t, a->domain) : QUEUE_MAYBE;
}

/* An id's message, whatever else bears such a name. */
static bool id_holds(const struct term *t, struct span id)
{
    bool open = t->part || memchr(t->value, '*', t->value_len);
    return open && !t->is_id ? text_holds(t, id) : span_eq(value_of(t), id);
}

/* As a person names the host; a pattern is not meant here. */
static bool site_has(struct span site, struct span host)
{
    return site.n && span_find(host, '*') == host.n && queue_place_has(site, host);
}

static enum queue_match target_holds(const struct term *t, const struct queue_facts *x)
{
    struct span v = value_of(t);
    if (t->is_id)
        return x->known & 1u << QUEUE_ID ? holds(id_holds(t, x->id)) : QUEUE_MAYBE;
    bool place = (x->known & 1u << QUEUE_SITE) != 0;
    if (place && ((x->site.n && span_ieq(x->site, v)) || (x->dest.n && span_eq(x->dest, v)) ||
                  site_has(x->site, v)))
        return QUEUE_YES;
    bool whole = (x->known & 1u << QUEUE_TO) != 0;
    size_t at = span_rfind(v, '@');
    struct span domain = whole ? domain_of(x->to) : x->to.domain;
    if (!whole && !x->to_domain_known)
        return QUEUE_MAYBE;
    if (at == v.n && domain.n)
        return span_ieq(v, domain) ? QUEUE_YES : place ? QUEUE_NO : QUEUE_MAYBE;
    if (!whole) /* of an address the domain is known */
        return !place || span_ieq(span_from(v, at + 1), domain) ? QUEUE_MAYBE : QUEUE_NO;
    return addr_is(x->to, v) ? QUEUE_YES : place ? QUEUE_NO : QUEUE_MAYBE;
}

static enum queue_match shared_holds(const struct term *t, const struct queue_facts *x)
{
    if (t->field == QUEUE_SITE)
        return holds(place_holds(t, x->site) || place_holds(t, x->dest));
    return reason_holds(t, x);
}

/* Of texts that many have. */
static enum queue_match seen_holds(const struct term *t, const struct queue_facts *x)
{
    uint64_t number = t->field == QUEUE_SITE ? x->place_number : x->reason_number;
    uint64_t *seen = &t->seen[number >> (64 - SEEN_BITS)];
    if (number <= 1)
        return shared_holds(t, x);
    if ((*seen ^ number) > 1) {
        enum queue_match match = shared_holds(t, x);
        if (match == QUEUE_MAYBE)
            return match;
        *seen = (number & ~UINT64_C(1)) | (match == QUEUE_YES);
    }
    return holds(*seen & 1);
}

static enum queue_match term_holds(const struct term *t, const struct queue_facts *x)
{
    if (t->field == QUEUE_FROM)
        return addr_decides(t, x, &x->from, x->from_domain_known);
    if (t->field == QUEUE_TO)
        return addr_decides(t, x, &x->to, x->to_domain_known);
    if (t->field == QUEUE_TARGET)
        return target_holds(t, x);
    if (!(x->known & 1u << t->field))
        return QUEUE_MAYBE;
    switch (t->field) {
    case QUEUE_ID: return holds(id_holds(t, x->id));
    case QUEUE_DOMAIN:
        return holds(t->part ? text_holds(t, domain_of(x->to))
                             : domain_is(value_of(t), domain_of(x->to)));
    case QUEUE_SITE:
    case QUEUE_REASON: return seen_holds(t, x);
    case QUEUE_CLIENT: return client_holds(t, &x->client);
    case QUEUE_LISTENER: return holds(text_holds(t, x->listener));
    case QUEUE_STATE: return holds((t->states >> x->state & 1) != 0);
    case QUEUE_AGE:
        return holds(t->op == '>' ? x->age_ms > t->age_ms : x->age_ms < t->age_ms);
    case QUEUE_SIZE:
        return holds(t->op == '>' ? x->size_bytes > t->size_bytes
                                  : x->size_bytes < t->size_bytes);
    default: return QUEUE_NO;
    }
}

static enum queue_match signed_holds(const struct term *t, const struct queue_facts *x)
{
    enum queue_match one = term_holds(t, x);
    if (t->negated && one != QUEUE_MAYBE)
        one = one == QUEUE_YES ? QUEUE_NO : QUEUE_YES;
    return one;
}

bool queue_filter_alike(const struct queue_filter *f, const struct queue_facts *a,
                        const struct queue_facts *b)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct term *t = &f->terms[i];
        if (t->field == QUEUE_REASON &&
            says(t, a->reason, a->before) != says(t, b->reason, b->before))
            return false;
    }
    return true;
}

enum {
    RCPT_FIELDS = 1u << QUEUE_TO | 1u << QUEUE_DOMAIN | 1u << QUEUE_SITE | 1u << QUEUE_REASON |
                  1u << QUEUE_TARGET | 1u << QUEUE_STATE,
    CHOSEN = 1u << QUEUE_FIELDS,
};

/* Of the recipients one is enough: "any." */
static bool is_shared(const struct term *t)
{
    return t->any && RCPT_FIELDS >> t->field & 1;
}

/* One of its field is enough: as in "--to a --to b". */
static bool is_choice(const struct term *t)
{
    return t->any || (!t->negated && t->field != QUEUE_AGE && t->field != QUEUE_SIZE);
}

/* Of all choices for one field; called for the first of them. */
static enum queue_match choice_holds(const struct queue_filter *f, size_t first,
                                     const struct queue_facts *x)
{
    const struct term *as = &f->terms[first];
    enum queue_match best = QUEUE_NO;
    for (size_t i = first; i < f->n; i++) {
        const struct term *t = &f->terms[i];
        if (t->field != as->field || t->any != as->any || !is_choice(t))
            continue;
        enum queue_match one = signed_holds(t, x);
        if (one == QUEUE_YES)
            return QUEUE_YES;
        if (one == QUEUE_MAYBE)
            best = QUEUE_MAYBE;
    }
    return best;
}

/* Without what one recipient may have for the others; bits of that in *shared_r: of the fields
 * where this one has it. */
static enum queue_match judge(const struct queue_filter *f, const struct queue_facts *x,
                              uint32_t *shared_r)
{
    enum queue_match all = QUEUE_YES;
    uint32_t chosen[2] = { 0, 0 };
    *shared_r = 0;
    for (size_t i = 0; i < f->n; i++) {
        const struct term *t = &f->terms[i];
        bool choice = is_choice(t);
        if (choice && chosen[t->any] >> t->field & 1)
            continue;
        chosen[t->any] |= choice ? 1u << t->field : 0;
        enum queue_match one = choice ? choice_holds(f, i, x) : signed_holds(t, x);
        if (is_shared(t))
            *shared_r |= one == QUEUE_YES ? 1u << t->field : 0;
        else if (one == QUEUE_NO)
            return QUEUE_NO;
        else if (one == QUEUE_MAYBE)
            all = QUEUE_MAYBE;
    }
    return all;
}

uint32_t queue_filter_wants(const struct queue_filter *f)
{
    uint32_t bits = CHOSEN;
    for (size_t i = 0; i < f->n; i++)
        bits |= is_shared(&f->terms[i]) ? 1u << f->terms[i].field : 0;
    return bits;
}

uint32_t queue_filter_rcpt(const struct queue_filter *f, const struct queue_facts *x)
{
    uint32_t shared;
    return judge(f, x, &shared) == QUEUE_YES ? CHOSEN | shared : 0;
}

enum queue_match queue_filter_match(const struct queue_filter *f, const struct queue_facts *x)
{
    uint32_t shared;
    enum queue_match own = judge(f, x, &shared);
    if (own != QUEUE_YES)
        return own;
    return (shared | CHOSEN) == queue_filter_wants(f) ? QUEUE_YES : QUEUE_MAYBE;
}
