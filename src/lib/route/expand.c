/* What a recipient stands for: virtusertable, aliases, :include: files and owner-LIST. Each new
 * address starts again from the beginning. Bounded in depth, in number and in bytes; whatever
 * was seen once is not taken again, so that loops end. */
#include "route/expand.h"

#include "base/hash.h"
#include "base/list.h"

enum {
    ADDRESS_MAX = 1024, /* as an envelope takes it */
    GROW = 16,
};

struct seen {
    struct hash_node node;
};

struct expand {
    const struct route_tables *t;
    struct span sender, original;
    struct arena *arena;
    struct trail *trail;
    struct route_accept *out;
    struct hash seen;
    size_t cap;
};

/* Where an address comes from. */
struct from {
    uint64_t depth;
    bool expanded, file;  /* made by us; read from an :include: file */
    bool own_sender;
    struct span list_sender;
    struct span alias;    /* the alias that is being expanded: itself on the right is the user */
};

static bool expand_address(struct expand *x, struct span addr, const struct from *from);

static bool fail(struct expand *x, uint16_t reply, const char *code, const char *text)
{
    return route_refuse(x->out, x->arena, reply, span_str(code), x->original, span_str(text));
}

/* --- targets --- */

/* False: it is there already. */
static bool first_time(struct expand *x, struct span key)
{
    struct span copy = arena_dup(x->arena, key);
    struct seen *s = arena_alloc(x->arena, sizeof *s);
    if (!copy.p || !s || hash_get(&x->seen, key))
        return false;
    hash_add(&x->seen, &s->node, copy);
    return true;
}

static bool add_target(struct expand *x, struct span addr, const struct from *from)
{
    struct route_accept *out = x->out;
    struct buf key;
    buf_init(&key, ADDRESS_MAX + 16);
    buf_printf(&key, "target %.*s", SPAN_ARG(addr));
    bool fresh = !key.failed && first_time(x, buf_span(&key));
    bool too_long = key.failed;
    buf_free(&key);
    if (too_long || addr.n > ADDRESS_MAX)
        return fail(x, 554, "5.2.4", "An address it stands for is too long");
    if (!fresh)
        return true;
    if (out->target_count >= x->t->alias_targets)
        return fail(x, 554, "5.2.4", "It stands for too many addresses");
    if (out->target_count == x->cap) {
        size_t cap = x->cap ? x->cap * 4 : from->expanded ? GROW : 1;
        struct route_target *bigger = arena_alloc(x->arena, cap * sizeof *bigger);
        if (!bigger)
            return fail(x, 451, "4.3.0", "Out of room while it is expanded");
        if (out->target_count)
            memcpy(bigger, out->targets, out->target_count * sizeof *bigger);
        out->targets = bigger;
        x->cap = cap;
    }
    out->targets[out->target_count++] = (struct route_target){
        .addr = addr, .flags = from->expanded ? ROUTE_EXPANDED : 0,
        .own_sender = from->own_sender, .sender = from->list_sender,
    };
    return true;
}

static struct span qualified(struct expand *x, const char *quote, struct span user)
{
    struct buf b;
    buf_init(&b, ADDRESS_MAX * 2);
    buf_putz(&b, quote);
    for (size_t i = 0; i < user.n; i++) {
        if (*quote && (user.p[i] == '"' || user.p[i] == '\\'))
            buf_putc(&b, '\\');
        buf_putc(&b, user.p[i]);
    }
    buf_printf(&b, "%s@%.*s", quote, SPAN_ARG(x->t->hostname));
    struct span s = b.failed ? SPAN_NONE : arena_dup(x->arena, buf_span(&b));
    buf_free(&b);
    return s;
}

/* A user of this host, no alias any more. */
static bool add_user(struct expand *x, struct span as_written, struct span user,
                     const struct from *from)
{
    if (!from->expanded)
        return add_target(x, as_written, from);
    bool plain = true;
    for (size_t i = 0; i < user.n; i++)
        plain = plain && (ascii_isalnum(user.p[i]) || memchr("+-_.=", user.p[i], 5));
    struct span addr = qualified(x, plain ? "" : "\"", user);
    return addr.p ? add_target(x, addr, from)
                  : fail(x, 451, "4.3.0", "Out of room while it is expanded");
}

/* --- :include: --- */

static bool expand_list(struct expand *x, struct span list, const struct from *from);

static bool expand_include(struct expand *x, struct span path, const struct from *from)
{
    struct from mine = *from;
    struct err e = { "" };
    struct buf text;
    mine.file = true;
    mine.depth++;
    if (mine.depth > x->t->alias_depth)
        return fail(x, 554, "5.4.6", "Too many :include: files lead to one another");
    if (!path.n || path.p[0] != '/')
        return fail(x, 554, "5.2.4", "A mailing list's file has no absolute path");
    buf_init(&text, ROUTE_INCLUDE_MAX);
    bool good = x->t->world.read_file ? x->t->world.read_file(x->t->world.ctx, path, &text, &e)
                                      : route_read_file(path, &text, &e);
    if (!good) {
        trail_say(x->trail, TRAIL_FAIL, ":include:", path, "%s", e.text);
        fail(x, 451, "4.2.4", "A mailing list's file cannot be read now");
    } else {
        trail_say(x->trail, TRAIL_NOTE, ":include:", path, "%zu bytes", text.len);
        struct span copy = arena_dup(x->arena, buf_span(&text));
        good = copy.p ? expand_list(x, copy, &mine)
                      : fail(x, 451, "4.3.0", "Out of room while it is expanded");
    }
    buf_free(&text);
    return good;
}

/* --- the right-hand side of an alias --- */

static bool expand_item(struct expand *x, struct span item, const struct from *from)
{
    struct span bare = route_address_unquoted(item, x->arena);
    bool quoted = bare.p != item.p && item.p[item.n - 1] == '"';
    struct span s = quoted ? bare : item;
    if (span_istarts(s, SPAN(":include:")))
        return expand_include(x, span_trim(span_from(s, 9)), from);
    if (s.n && (s.p[0] == '|' || (s.p[0] == '/' && span_find(s, '@') == s.n))) {
        /* users may write their own lists: what is in them runs and writes nothing here, and
         * fails for this one address when it is tried */
        struct span as_user = from->file ? qualified(x, "\"", s) : s;
        trail_say(x->trail, TRAIL_NOTE, "aliases", s, "%s%s",
                  s.p[0] == '|' ? "a program" : "a file", from->file ? ", not from a list" : "");
        return as_user.p ? add_target(x, as_user, from)
                         : fail(x, 451, "4.3.0", "Out of room while it is expanded");
    }
    if (item.n > 1 && item.p[0] == '\\') {
        struct span user = span_from(item, 1);
        struct route_address a = route_address(user);
        struct span why;
        if (a.kind == ROUTE_ADDR_BAD || !route_is_local(x->t, &a, &why))
            return expand_address(x, user, from);
        trail_say(x->trail, TRAIL_NOTE, "aliases", item, "the user, not an alias");
        return add_user(x, user, a.local, from);
    }
    struct from mine = *from;
    mine.expanded = true;
    return expand_address(x, item, &mine);
}

static bool expand_list(struct expand *x, struct span list, const struct from *from)
{
    struct span item;
    while (route_list_next(&list, &item))
        if (item.n && !expand_item(x, item, from))
            return false;
    return true;
}

/* owner-LIST: failures of a list's members go to who can do something about them. Its value when
 * that is one plain address, else owner-LIST itself (RFC 5321 3.9.2). */
static void set_owner(struct expand *x, struct span name, struct from *mine)
{
    char key[MAP_KEY_MAX];
    struct map_hit hit;
    if (name.n > 512 || span_istarts(name, SPAN("owner-")) || span_iends(name, SPAN("-request")) ||
        !x->sender.n)
        return;
    memcpy(key, "owner-", 6);
    memcpy(key + 6, name.p, name.n);
    struct span owner = route_fold(key, name.n + 6);
    if (route_look(x->t, ROUTE_ALIASES, owner, x->trail, &hit) != 1)
        return;
    struct span value = span_trim(hit.value), whole = value;
    bool plain = value.n && !memchr("\\/|\":", value.p[0], 5);
    for (size_t i = 0; i < value.n && plain; i++)
        plain = !memchr(",:/|\" <>", value.p[i], 8);
    struct route_address a = route_address(whole);
    if (!plain || a.kind == ROUTE_ADDR_BAD)
        whole = qualified(x, "", owner);
    else if (a.kind == ROUTE_ADDR_LOCAL_PART)
        whole = qualified(x, "", value);
    else
        whole = arena_dup(x->arena, value);
    if (!whole.p)
        return;
    mine->own_sender = true;
    mine->list_sender = whole;
}

/* 1: the alias is in hit, its name in *name_r; 0; -1. */
static int find_alias(struct expand *x, struct span user, char key[MAP_KEY_MAX],
                      struct span *name_r, struct map_hit *hit)
{
    size_t plus = span_find(user, '+');
    if (user.n + 2 > MAP_KEY_MAX)
        return 0;
    memcpy(key, user.p, user.n);
    *name_r = route_fold(key, user.n);
    int found = route_look(x->t, ROUTE_ALIASES, *name_r, x->trail, hit);
    if (found || plus == 0 || plus == user.n)
        return found;
    key[plus + 1] = '*';
    *name_r = span_of(key, plus + 2);
    found = route_look(x->t, ROUTE_ALIASES, *name_r, x->trail, hit);
    if (found)
        return found;
    *name_r = span_of(key, plus);
    return route_look(x->t, ROUTE_ALIASES, *name_r, x->trail, hit);
}

static bool expand_alias(struct expand *x, struct span name, struct span value,
                         const struct from *from)
{
    struct from mine = *from;
    mine.depth++;
    mine.expanded = true;
    mine.file = false;
    mine.alias = arena_dup(x->arena, name);
    set_owner(x, name, &mine);
    struct span copy = arena_dup(x->arena, value); /* a regex map's value does not stay */
    return copy.p ? expand_list(x, copy, &mine)
                  : fail(x, 451, "4.3.0", "Out of room while it is expanded");
}

static const struct span *postmaster_of(const struct expand *x, struct span user)
{
    static const struct span root = SPAN("root");
    if (!span_ieq(user, SPAN("postmaster")))
        return NULL;
    struct route_address other = route_address(x->t->postmaster);
    struct span why;
    if (other.kind != ROUTE_ADDR_BAD && !(span_ieq(other.local, user) &&
                                          route_is_local(x->t, &other, &why)))
        return &x->t->postmaster;
    return route_user_exists(x->t, user, NULL) == 0 ? &root : NULL;
}

static bool expand_local(struct expand *x, struct span addr, const struct route_address *a,
                         const struct from *from)
{
    char key[MAP_KEY_MAX];
    struct span name, user = route_address_unquoted(a->local, x->arena);
    struct map_hit hit;
    if (from->alias.n && span_ieq(user, from->alias)) /* "ann: ann, bob": the user ann */
        return add_user(x, addr, user, from);
    int found = find_alias(x, user, key, &name, &hit);
    if (found < 0)
        return fail(x, 451, "4.3.0", "Temporary failure: the aliases cannot be asked");
    if (found)
        return expand_alias(x, name, hit.value, from);
    const struct span *postmaster = postmaster_of(x, user);
    if (postmaster) { /* RFC 5321 4.5.1: somebody has to read it */
        struct from mine = *from;
        mine.expanded = true;
        mine.depth++;
        trail_say(x->trail, TRAIL_NOTE, "postmaster", user, "%.*s", SPAN_ARG(*postmaster));
        return expand_address(x, *postmaster, &mine);
    }
    return add_user(x, addr, user, from);
}

/* --- an address from its beginning --- */

static bool expand_virtual(struct expand *x, struct span addr, struct span value,
                           const struct from *from)
{
    struct from mine = *from;
    struct route_dest d = { 0 };
    struct err e = { "" };
    if (span_istarts(value, SPAN("error:"))) {
        if (from->depth) /* one of several: it fails alone when it is tried */
            return add_target(x, addr, from);
        if (!route_value_error(span_trim(span_from(value, 6)), &d, &e))
            return fail(x, 451, "4.3.5", "Local configuration error in the virtusertable");
        return route_refuse(x->out, x->arena, d.reply, d.code, SPAN_NONE, d.text);
    }
    mine.expanded = true;
    mine.depth++;
    mine.alias = SPAN_NONE;
    return expand_address(x, span_trim(value), &mine);
}

/* "local\0name" or the address: what must not be taken twice. */
static bool mark(struct expand *x, const struct route_address *a, bool local)
{
    char key[ADDRESS_MAX * 2];
    struct span domain = dns_name_span(&a->name);
    size_t n = a->local.n;
    if (n + domain.n + 1 > sizeof key)
        return true;
    memcpy(key, a->local.p, n);
    if (local)
        route_fold(key, n);
    key[n++] = local ? 0 : '@';
    if (!local)
        memcpy(key + n, domain.p, domain.n);
    return first_time(x, span_of(key, n + (local ? 0 : domain.n)));
}

static bool expand_address(struct expand *x, struct span addr, const struct from *from)
{
    struct route_address a = route_address(addr);
    struct span value, why;
    if (a.kind == ROUTE_ADDR_BAD) /* of an alias: it fails when it is tried */
        return add_target(x, addr, from);
    if (from->depth > x->t->alias_depth)
        return fail(x, 554, "5.4.6", "aliasing/forwarding loop broken");
    bool virtual = route_is_virtual(x->t, &a), local = route_is_local(x->t, &a, &why);
    struct span user = a.local;
    bool itself = local && from->alias.n && span_ieq(user, from->alias);
    if ((virtual || local) && !itself && !mark(x, &a, local && !virtual)) {
        trail_say(x->trail, TRAIL_NOTE, "aliases", addr, "seen before: not taken again");
        return true;
    }
    if (virtual) {
        int found = route_virtual(x->t, &a, x->arena, x->trail, &value);
        if (found < 0)
            return fail(x, 451, "4.3.0", "Temporary failure: the virtusertable cannot be asked");
        if (found && !span_ieq(span_trim(value), addr)) /* "x@d x@d": itself */
            return expand_virtual(x, addr, value, from);
    }
    return local ? expand_local(x, addr, &a, from) : add_target(x, addr, from);
}

bool route_expand(const struct route_tables *t, struct span sender, struct span rcpt,
                  struct arena *a, struct trail *trail, struct route_accept *out)
{
    struct expand x = { .t = t, .sender = sender, .original = rcpt, .arena = a, .trail = trail,
                        .out = out };
    struct from from = { 0 };
    struct route_address addr = route_address(rcpt);
    struct span why;
    hash_init(&x.seen, t->seed, 0);
    bool good = route_is_virtual(t, &addr) || route_is_local(t, &addr, &why)
                    ? expand_address(&x, rcpt, &from)
                    : add_target(&x, rcpt, &from);
    if (good && !out->target_count)
        good = fail(&x, 554, "5.4.6", "aliasing/forwarding loop broken");
    hash_free(&x.seen);
    return good;
}
