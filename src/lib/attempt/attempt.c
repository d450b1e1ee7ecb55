/* A story as bytes and back.
 *
 *   1 u8 (its version), at_ms i64, ms u32, dns_ms u32, dns u8,
 *   flags u8 (1: addrs_cut, 2: there is an alias), code u16, left_out u32,
 *   then with u32 lengths dest, matched, dns_text, stage, said, tls,
 *   number of addresses u8 and for each: host, address (netaddr_put_wire), preference u16,
 *   the alias, if there is one,
 *   the entries of the dialogue (log.c) to the end
 *
 * What is read is outside input: it comes from a disk. */
#include "attempt/log.h"
#include "attempt/stages.h"

#include "base/must.h"

enum { VERSION = 1, ADDRS_CUT = 1, ALIAS = 2 };

static const char *attempt_dns_name(enum attempt_dns dns)
{
    static const char *const names[] = { "none", "ok", "later", "fail" };
    return dns < ATTEMPT_DNS_KINDS ? names[dns] : "?";
}

static const char *attempt_kind_name(enum attempt_kind kind)
{
    static const char *const names[] = { "host", "kept", "ours", "peer", "note", "open" };
    return kind < ATTEMPT_KINDS ? names[kind] : "?";
}

/* --- put --- */

static void put_text(struct buf *b, struct span s, size_t max)
{
    wire_put_bytes(b, span_to(s, max));
}

/* With few bytes allowed the texts get less each: they and the last lines matter most. */
static void put_facts(struct buf *b, const struct attempt *a, size_t addrs, uint32_t left_out,
                      size_t text_max)
{
    size_t name_max = text_max < ATTEMPT_NAME_MAX ? text_max : ATTEMPT_NAME_MAX;
    bool cut = a->addrs_cut || addrs < a->addr_count;
    wire_put_u8(b, VERSION);
    wire_put_i64(b, a->at_ms);
    wire_put_u32(b, a->ms);
    wire_put_u32(b, a->dns_ms);
    wire_put_u8(b, (uint8_t)a->dns);
    wire_put_u8(b, (uint8_t)((cut ? ADDRS_CUT : 0) | (a->alias.n ? ALIAS : 0)));
    wire_put_u16(b, a->code);
    wire_put_u32(b, left_out);
    put_text(b, a->dest, name_max);
    put_text(b, a->matched, name_max);
    put_text(b, a->dns_text, text_max);
    put_text(b, a->stage, 32);
    put_text(b, a->said, text_max);
    put_text(b, a->tls, 64);
    wire_put_u8(b, (uint8_t)addrs);
    for (size_t i = 0; i < addrs; i++) {
        put_text(b, a->addrs[i].host, name_max);
        netaddr_put_wire(b, &a->addrs[i].addr);
        wire_put_u16(b, a->addrs[i].pref);
    }
    if (a->alias.n)
        put_text(b, a->alias, name_max);
}

static size_t fit_facts(struct buf *facts, const struct attempt *a, size_t max_bytes)
{
    size_t addrs = a->addr_count, text_max = max_bytes < 4096 ? max_bytes / 12 : ATTEMPT_TEXT_MAX;
    for (;; addrs--) {
        buf_reset(facts);
        put_facts(facts, a, addrs, 0, text_max);
        if (!addrs || facts->len <= max_bytes / 2)
            return addrs;
    }
}

void attempt_put(struct buf *b, const struct attempt *a, const struct attempt_log *log,
                 size_t max_bytes)
{
    struct buf facts, lines;
    MUST(max_bytes >= ATTEMPT_MIN_BYTES && a->addr_count <= ATTEMPT_ADDRS_MAX);
    buf_init(&facts, ATTEMPT_MAX_BYTES * 2);
    buf_init(&lines, ATTEMPT_MAX_BYTES * 2);
    size_t addrs = fit_facts(&facts, a, max_bytes), room = max_bytes - facts.len;
    uint32_t left_out = a->left_out + (log ? log->left_out : 0);
    if (log)
        buf_puts(&lines, buf_span(&log->b));
    if (lines.len > room)
        left_out += log_cut_middle(&lines, room / 4, lines.len - room);
    if (lines.len > room) /* a first line that is longer than its share */
        left_out += log_cut_middle(&lines, 0, lines.len - room);
    buf_reset(&facts);
    put_facts(&facts, a, addrs, left_out, max_bytes < 4096 ? max_bytes / 12 : ATTEMPT_TEXT_MAX);
    buf_puts(b, buf_span(&facts));
    buf_puts(b, buf_span(&lines));
    buf_free(&facts);
    buf_free(&lines);
}

/* --- get --- */

static bool get_addrs(struct wire *w, struct attempt *a)
{
    size_t n = wire_get_u8(w);
    if (n > ATTEMPT_ADDRS_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        a->addrs[i].host = wire_get_bytes(w, ATTEMPT_NAME_MAX);
        a->addrs[i].addr = netaddr_get_wire(w);
        a->addrs[i].pref = wire_get_u16(w);
    }
    a->addr_count = n;
    return !w->bad;
}

bool attempt_get(struct span bytes, struct attempt *a)
{
    struct wire w = wire_reader(bytes);
    *a = (struct attempt){ 0 };
    if (wire_get_u8(&w) != VERSION)
        return false;
    a->at_ms = wire_get_i64(&w);
    a->ms = wire_get_u32(&w);
    a->dns_ms = wire_get_u32(&w);
    uint8_t dns = wire_get_u8(&w), flags = wire_get_u8(&w);
    a->dns = dns;
    a->addrs_cut = flags & ADDRS_CUT;
    a->code = wire_get_u16(&w);
    a->left_out = wire_get_u32(&w);
    a->dest = wire_get_bytes(&w, ATTEMPT_NAME_MAX);
    a->matched = wire_get_bytes(&w, ATTEMPT_NAME_MAX);
    a->dns_text = wire_get_bytes(&w, ATTEMPT_TEXT_MAX);
    a->stage = wire_get_bytes(&w, 32);
    a->said = wire_get_bytes(&w, ATTEMPT_TEXT_MAX);
    a->tls = wire_get_bytes(&w, 64);
    if (w.bad || dns >= ATTEMPT_DNS_KINDS || !get_addrs(&w, a))
        return false;
    a->alias = flags & ALIAS ? wire_get_bytes(&w, ATTEMPT_NAME_MAX) : SPAN_NONE;
    if (w.bad)
        return false;
    a->log = w.rest;
    return true;
}

bool attempt_next(struct attempt *a, struct attempt_entry *e)
{
    size_t n = log_entry_size(a->log);
    struct wire w = wire_reader(span_to(a->log, n));
    if (!n)
        return false;
    wire_get_u16(&w);
    uint8_t kind = wire_get_u8(&w);
    e->kind = kind;
    e->at_ms = wire_get_u32(&w);
    e->code = wire_get_u16(&w);
    e->text = w.rest;
    a->log = span_from(a->log, n);
    return kind < ATTEMPT_KINDS;
}

/* --- JSON --- */

static void json_line(struct json *j, const struct attempt_entry *e, struct span text, bool more)
{
    struct buf b;
    buf_init(&b, ATTEMPT_TEXT_MAX + 16);
    if (e->code)
        buf_printf(&b, "%d%c", e->code, more ? '-' : ' ');
    buf_puts(&b, text);
    json_open(j, NULL);
    json_uint(j, "ms", e->at_ms);
    json_str(j, attempt_kind_name(e->kind), buf_span(&b));
    json_close(j);
    buf_free(&b);
}

static void json_entry(struct json *j, const struct attempt_entry *e)
{
    struct span rest = e->text;
    for (bool more = true; more;) {
        size_t n = e->kind == ATTEMPT_PEER ? span_find(rest, '\n') : rest.n;
        more = n < rest.n;
        json_line(j, e, span_to(rest, n), more);
        rest = span_from(rest, n + 1);
    }
}

static void json_addrs(struct json *j, const struct attempt *a)
{
    json_open_array(j, "try");
    for (size_t i = 0; i < a->addr_count; i++) {
        struct buf b;
        buf_init(&b, NETADDR_TEXT_MAX);
        netaddr_put(&b, &a->addrs[i].addr);
        json_open(j, NULL);
        json_str(j, "host", a->addrs[i].host);
        json_uint(j, "pref", a->addrs[i].pref);
        json_str(j, "address", buf_span(&b));
        json_close(j);
        buf_free(&b);
    }
    json_close_array(j);
}

static void json_stages(struct json *j, const struct attempt *a)
{
    struct attempt_stage stages[ATTEMPT_STAGES_MAX];
    size_t n = attempt_stages(a, stages, ATTEMPT_STAGES_MAX);
    json_open_array(j, "stages");
    for (size_t i = 0; i < n; i++) {
        json_open(j, NULL);
        if (stages[i].host.n)
            json_str(j, "host", stages[i].host);
        json_str(j, "stage", stages[i].stage);
        json_uint(j, "ms", stages[i].ms);
        json_close(j);
    }
    json_close_array(j);
}

void attempt_json(struct json *j, const struct attempt *a)
{
    struct attempt at = *a;
    struct attempt_entry e;
    json_int(j, "at_ms", a->at_ms);
    json_uint(j, "ms", a->ms);
    json_str(j, "destination", a->dest);
    json_str(j, "matched", a->matched);
    json_open(j, "dns");
    json_str(j, "verdict", span_str(attempt_dns_name(a->dns)));
    json_uint(j, "ms", a->dns_ms);
    if (a->dns_text.n)
        json_str(j, "text", a->dns_text);
    json_addrs(j, a);
    json_bool(j, "cut", a->addrs_cut);
    if (a->alias.n)
        json_str(j, "alias", a->alias);
    json_close(j);
    json_str(j, "stage", a->stage);
    json_uint(j, "code", a->code);
    json_str(j, "said", a->said);
    if (a->tls.n)
        json_str(j, "tls", a->tls);
    json_uint(j, "left_out", a->left_out);
    json_stages(j, a);
    json_open_array(j, "dialogue");
    while (attempt_next(&at, &e))
        json_entry(j, &e);
    json_close_array(j);
}
