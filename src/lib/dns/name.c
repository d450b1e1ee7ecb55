#include "dns/name.h"

#include "base/domain.h"

static bool host_char(char c) { return ascii_isalnum(c) || c == '-' || c == '_'; }

/* The shape of an ASCII name; copies it in lower case. */
static enum dns_name_error check_ascii(struct span s, struct dns_name *name_r)
{
    size_t label = 0;
    if (s.n > DNS_NAME_MAX)
        return DNS_NAME_LONG;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '.') {
            if (!label)
                return DNS_NAME_LABEL_EMPTY;
            label = 0;
        } else if (!host_char(c)) {
            return DNS_NAME_CHARACTER;
        } else if (++label > DNS_LABEL_MAX) {
            return DNS_NAME_LABEL_LONG;
        }
    }
    if (!label)
        return DNS_NAME_LABEL_EMPTY;
    for (size_t i = 0; i < s.n; i++)
        name_r->s[i] = ascii_lower(s.p[i]);
    name_r->s[s.n] = '\0';
    name_r->n = (uint8_t)s.n;
    return DNS_NAME_OK;
}

static enum dns_name_error from_utf8(struct span s, struct dns_name *name_r)
{
    char ascii[DNS_NAME_MAX + 1];
    if (s.n > DNS_NAME_MAX * 4)
        return DNS_NAME_LONG;
    if (memchr(s.p, 0, s.n))
        return DNS_NAME_CHARACTER;
    size_t n = domain_to_ascii(s, ascii, sizeof ascii);
    return n ? check_ascii(span_of(ascii, n), name_r) : DNS_NAME_IDNA;
}

enum dns_name_error dns_name_from(struct span s, struct dns_name *name_r)
{
    if (s.n && s.p[s.n - 1] == '.')
        s.n--;
    if (!s.n)
        return DNS_NAME_EMPTY;
    return span_is_ascii(s) ? check_ascii(s, name_r) : from_utf8(s, name_r);
}

const char *dns_name_error_text(enum dns_name_error e)
{
    switch (e) {
    case DNS_NAME_OK: return "fine";
    case DNS_NAME_EMPTY: return "there is no name";
    case DNS_NAME_LONG: return "the name is longer than 253 bytes";
    case DNS_NAME_LABEL_LONG: return "a label is longer than 63 bytes";
    case DNS_NAME_LABEL_EMPTY: return "a label is empty";
    case DNS_NAME_CHARACTER: return "a character that host names do not have";
    case DNS_NAME_IDNA: return "not a name by IDNA 2008";
    }
    return "?";
}

bool dns_name_eq(const struct dns_name *a, const struct dns_name *b)
{
    return span_eq(dns_name_span(a), dns_name_span(b));
}

bool dns_name_under(const struct dns_name *name, const struct dns_name *zone)
{
    if (!zone->n || dns_name_eq(name, zone))
        return true;
    return name->n > zone->n && name->s[name->n - zone->n - 1] == '.' &&
           span_ends(dns_name_span(name), dns_name_span(zone));
}

bool dns_name_numeric(const struct dns_name *name)
{
    size_t i = name->n;
    while (i && ascii_isdigit(name->s[i - 1]))
        i--;
    return i < name->n && (!i || name->s[i - 1] == '.');
}

static bool wire_char(char c) { return host_char(c) || c == '/' || c == '*'; }

/* Adds one label; false when the name grows too long. *odd is set for bytes we do not show. */
static bool add_label(struct dns_name *name, struct span label, bool *odd)
{
    size_t need = label.n + (name->n ? 1 : 0);
    if (name->n + need > DNS_NAME_MAX)
        return false;
    if (name->n)
        name->s[name->n++] = '.';
    for (size_t i = 0; i < label.n; i++) {
        *odd |= !wire_char(label.p[i]);
        name->s[name->n++] = ascii_lower(label.p[i]);
    }
    return true;
}

/* Relies on: each pointer leads to before the place from which the labels since the last jump
 * began, so that the loop ends; and the name grows with each label, so that it is bounded. */
int dns_name_read(struct span packet, size_t *off, struct dns_name *name_r)
{
    size_t at = *off, floor = *off, end = 0;
    bool jumped = false, odd = false;
    name_r->n = 0;
    for (;;) {
        if (at >= packet.n)
            return -1;
        uint8_t len = (uint8_t)packet.p[at];
        if (len == 0)
            break;
        if ((len & 0xc0) == 0xc0) {
            if (at + 1 >= packet.n)
                return -1;
            size_t to = (size_t)(len & 0x3f) << 8 | (uint8_t)packet.p[at + 1];
            if (!jumped)
                end = at + 2;
            if (to >= floor)
                return -1;
            jumped = true;
            floor = at = to;
            continue;
        }
        if (len > DNS_LABEL_MAX || at + 1 + len > packet.n)
            return -1;
        if (!add_label(name_r, span_of(packet.p + at + 1, len), &odd))
            return -1;
        at += 1 + (size_t)len;
    }
    *off = jumped ? end : at + 1;
    if (odd)
        name_r->n = 0;
    name_r->s[name_r->n] = '\0';
    return odd ? 0 : 1;
}
