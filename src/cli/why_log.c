#include "cli/why_log.h"

#include "base/buf.h"
#include "base/domain.h"
#include "base/json.h"
#include "base/must.h"
#include "cli/ctl.h"
#include "cli/log_parts.h"
#include "config/config.h"
#include "envelope/queueid.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

enum {
    ALL_BYTES_MAX = 256 << 20,  /* as text, of all files */
    NAME_BYTES_MAX = 64 << 20,  /* the same for a domain, of which there is too much anyway */
    LINE_MAX_BYTES = 64 << 10,
    FILES_MAX = 400,
    EVENTS_OF_ID = 200,         /* shown */
    EVENTS_OF_NAME = 20,        /* and what follows them */
    NAMES_MAX = 16,
    EARLY_S = 60,               /* clocks of file system and gateway */
};

struct file {
    char *path;
    time_t changed;
    bool packed; /* in a way that is not read here */
};

struct reader {
    struct why_log *l;
    enum why_log_kind kind;
    bool text;       /* not of events */
    const char *word;
    char *names[NAMES_MAX];   /* what it is called; */
    char *needles[NAMES_MAX]; /* every line that is meant has one of these */
    size_t name_count;
    size_t shown, own; /* so many events of a file are meant, and not only follow */
    uint64_t bytes, bytes_max;
    time_t since;    /* nothing is older */
    bool complete;   /* its beginning was found */
    struct file files[FILES_MAX];
    size_t file_count;
};

enum why_log_kind why_log_kind(struct span word)
{
    uint64_t seq;
    return queueid_seq(word, &seq)               ? WHY_LOG_ID
           : span_find(word, '@') < word.n ? WHY_LOG_ADDRESS
                                                 : WHY_LOG_NAME;
}

/* --- which files --- */

static int by_change(const void *a, const void *b)
{
    const struct file *x = a, *y = b;
    if (x->changed != y->changed)
        return x->changed < y->changed ? 1 : -1;
    return strcmp(x->path, y->path);
}

/* ".1" ".2.gz" "-20261120.gz" behind the name of the log. */
static bool is_rotated(struct span rest, bool *packed_r)
{
    static const char *const others[] = { ".xz", ".bz2", ".zst", ".lz4", ".Z" };
    *packed_r = false;
    if (rest.n < 2 || (rest.p[0] != '.' && rest.p[0] != '-') || !ascii_isdigit(rest.p[1]))
        return false;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        *packed_r |= span_ends(rest, span_str(others[i]));
    size_t n = 1;
    while (n < rest.n && (ascii_isdigit(rest.p[n]) || rest.p[n] == '-'))
        n++;
    return n == rest.n || *packed_r || span_eq(span_from(rest, n), SPAN(".gz"));
}

static void add_file(struct reader *r, char *path, bool packed)
{
    struct stat st;
    if (r->file_count == FILES_MAX || stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        free(path);
        return;
    }
    r->files[r->file_count++] = (struct file){ path, st.st_mtime, packed };
}

static void find_rotated(struct reader *r, struct span path)
{
    size_t slash = span_rfind(path, '/');
    struct span base = slash < path.n ? span_from(path, slash + 1) : path;
    char *folder = slash < path.n ? must_strndup(path.p, slash + 1) : must_strndup(".", 1);
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct span name = span_str(e->d_name);
        bool packed;
        if (!span_starts(name, base) || !is_rotated(span_from(name, base.n), &packed))
            continue;
        struct buf full;
        buf_init(&full, PATH_MAX);
        buf_puts(&full, span_to(path, path.n - base.n));
        buf_puts(&full, name);
        add_file(r, must_strndup(buf_cstr(&full), full.len), packed);
        buf_free(&full);
    }
    if (d)
        closedir(d);
    free(folder);
    qsort(r->files, r->file_count, sizeof *r->files, by_change);
}

/* --- what it is called --- */

static void add_name(struct reader *r, struct span name)
{
    struct buf b;
    if (!name.n || r->name_count == NAMES_MAX)
        return;
    buf_init(&b, LINE_MAX_BYTES);
    if (r->text)
        buf_puts(&b, name);
    else
        json_put_string(&b, name); /* as it stands in an event, */
    if (r->kind == WHY_LOG_ID)
        buf_putz(&b, r->text ? ": " : "");
    struct span needle = buf_span(&b);
    if (!r->text && r->kind != WHY_LOG_ID) /* of which it may be a part */
        needle = span_of(needle.p + 1, needle.n - 2);
    r->names[r->name_count] = must_strndup(name.p, name.n);
    r->needles[r->name_count++] = must_strndup(needle.p, needle.n);
    buf_free(&b);
}

/* An address or a domain, whichever way its domain was written. */
static void add_spellings(struct reader *r, struct span word)
{
    char other[LINE_MAX_BYTES / 32];
    size_t at = r->kind == WHY_LOG_ADDRESS ? span_rfind(word, '@') + 1 : 0;
    struct span domain = span_from(word, at);
    if (at >= sizeof other)
        return;
    add_name(r, word);
    memcpy(other, word.p, at);
    size_t n = domain_rewritten(domain, other + at, sizeof other - at);
    n = n ? n : domain_to_utf8(domain, other + at, sizeof other - at);
    if (n)
        add_name(r, span_of(other, at + n));
}

/* "[192.0.2.1]" as a host is 192.0.2.1 in a log; the port is not needed. */
static struct span host_of(struct span host)
{
    if (!host.n || host.p[0] != '[')
        return span_to(host, span_find(host, ':'));
    host = span_from(host, 1);
    host = span_to(host, span_find(host, ']'));
    return span_istarts(host, SPAN("IPv6:")) ? span_from(host, 5) : host;
}

/* The hosts of "mx:a.example,b.example by:big", "host:[a.example]:25". */
static void add_hosts(struct reader *r, struct span list)
{
    list = span_to(list, span_find(list, ' '));
    while (list.n) {
        struct span host = span_to(list, span_find(list, ','));
        list = span_from(list, host.n + 1);
        add_spellings(r, host_of(host));
    }
}

static void add_names(struct reader *r)
{
    static const char *const kinds[] = { "mx:", "host:", "list:" };
    struct span word = span_str(r->word);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (r->kind == WHY_LOG_NAME && span_istarts(word, span_str(kinds[i]))) {
            add_hosts(r, span_from(word, strlen(kinds[i])));
            return;
        }
    }
    if (r->kind == WHY_LOG_ID)
        add_name(r, word);
    else
        add_spellings(r, word);
    if (r->kind == WHY_LOG_NAME && word.p[0] == '[')
        add_name(r, host_of(word));
}

/* --- lines --- */

static bool is_word(struct span value, const struct reader *r)
{
    if (r->kind != WHY_LOG_ADDRESS)
        value = span_from(value, span_rfind(value, '@') + 1);
    for (size_t i = 0; i < r->name_count; i++)
        if (span_ieq(value, span_str(r->names[i])))
            return true;
    return false;
}

static bool has_member(const json_t *row, const char *key, const struct reader *r)
{
    const json_t *v = json_object_get(row, key);
    return json_is_string(v) && is_word(span_of(json_string_value(v), json_string_length(v)), r);
}

/* "192.0.2.1:25" */
static bool is_host(struct span part, const struct reader *r)
{
    struct span bare = part.n && part.p[0] == '[' ? host_of(part) : part;
    for (size_t i = 0; i < r->name_count; i++) {
        struct span name = span_str(r->names[i]);
        if (span_ieq(bare, name) ||
            (span_istarts(part, name) && part.n > name.n && part.p[name.n] == ':'))
            return true;
    }
    return false;
}

/* "mx1.example 192.0.2.1:25" */
static bool has_relay(const json_t *row, const struct reader *r)
{
    static const char *const keys[] = { "relay", "host" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *v = json_string_value(json_object_get(row, keys[i]));
        struct span rest = span_str(v), part;
        while ((part = span_word(&rest)).n)
            if (is_host(part, r))
                return true;
    }
    return false;
}

/* "From: ann@gw.example became Ann@people.example, because of ..." (smtpd/rewrite.c) */
static bool is_rewritten(const json_t *row, const struct reader *r)
{
    const char *event = json_string_value(json_object_get(row, "event"));
    struct span rest = span_str(json_string_value(json_object_get(row, "text"))), word;
    if (r->kind != WHY_LOG_ADDRESS || !event || strcmp(event, "rewritten") != 0)
        return false;
    while ((word = span_word(&rest)).n)
        if (is_word(domain_bare(word), r))
            return true;
    return false;
}

static bool is_meant(const json_t *row, const struct reader *r)
{
    if (r->kind == WHY_LOG_ID) {
        const char *id = json_string_value(json_object_get(row, "id"));
        return id && strcmp(id, r->word) == 0;
    }
    return has_member(row, "to", r) || has_member(row, "from", r) || is_rewritten(row, r) ||
           (r->kind == WHY_LOG_NAME && has_relay(row, r));
}

/* Of a message that was found by another line: what people did to it, and who was told, which names
 * no recipient. */
static bool follows(const json_t *row, const json_t *list)
{
    const char *id = json_string_value(json_object_get(row, "id"));
    for (size_t i = json_array_size(list); i > 0 && id; i--) {
        const char *at = json_string_value(json_object_get(json_array_get(list, i - 1), "id"));
        if (at && strcmp(at, id) == 0)
            return true;
    }
    return false;
}

static bool may_follow(const struct reader *r, const char *line)
{
    static const char *const events[] = { "\"event\":\"admin_deleted\"",
                                          "\"event\":\"admin_bounced\"",
                                          "\"event\":\"admin_expired\"",
                                          "\"event\":\"double_bounce\"",
                                          "\"event\":\"dsn_sent\"" };
    for (size_t i = 0; i < sizeof events / sizeof *events && r->kind != WHY_LOG_ID; i++)
        if (strstr(line, events[i]))
            return true;
    return false;
}

static bool has_name(const struct reader *r, const char *line)
{
    for (size_t i = 0; i < r->name_count; i++)
        if (r->kind == WHY_LOG_ID ? strstr(line, r->needles[i]) : strcasestr(line, r->needles[i]))
            return true;
    return false;
}

static bool is_own(const struct reader *r, const json_t *row)
{
    return r->text || is_meant(row, r);
}

/* With what follows events that are gone already. */
static void drop_first(struct reader *r, json_t *list)
{
    r->own -= is_own(r, json_array_get(list, 0));
    json_array_remove(list, 0);
    while (json_array_size(list) && !is_own(r, json_array_get(list, 0)))
        json_array_remove(list, 0);
}

static void keep_line(struct reader *r, json_t *list, char *line)
{
    if (!has_name(r, line) && (r->text || !json_array_size(list) || !may_follow(r, line)))
        return;
    struct span s = span_trim_lines(span_str(line));
    json_t *row;
    if (r->text)
        row = json_pack("{s:o}", "line", json_stringn(s.p, s.n));
    else
        row = ctl_json(s, 1 << 20);
    if (row && (r->text || is_meant(row, r) || (r->kind != WHY_LOG_ID && follows(row, list)))) {
        const char *event = json_string_value(json_object_get(row, "event"));
        r->complete |= event && strcmp(event, "received") == 0;
        json_array_append(list, row);
        r->own += is_own(r, row);
        while (r->own > r->shown)
            drop_first(r, list);
    }
    json_decref(row);
}

/* NULL: to its end. Packed or not is zlib's to see. */
static const char *read_part(struct reader *r, int fd, const struct log_part *p, json_t *list)
{
    uint64_t before = r->bytes;
    int error = Z_OK, own = dup(fd);
    gzFile f = own >= 0 && lseek(fd, p->from, SEEK_SET) >= 0 ? gzdopen(own, "r") : NULL;
    if (!f) {
        const char *why = strerror(errno);
        if (own >= 0)
            close(own);
        return why;
    }
    char *line = must_alloc(LINE_MAX_BYTES);
    while (r->bytes < r->bytes_max && r->bytes - before < (uint64_t)(p->to - p->from) &&
           gzgets(f, line, LINE_MAX_BYTES)) {
        r->bytes = before + (uint64_t)gztell(f);
        keep_line(r, list, line);
    }
    gzerror(f, &error);
    gzclose(f);
    free(line);
    return error != Z_OK && error != Z_BUF_ERROR ? "it is damaged"
           : r->bytes >= r->bytes_max            ? "not to its end, it is long"
                                                 : NULL;
}

/* Text that is as long as it is now. What was not read is said in why. */
static void read_lines(struct reader *r, const char *path, json_t *list, struct buf *why)
{
    struct log_part parts[2];
    struct stat st;
    size_t n = 1;
    if (r->bytes >= r->bytes_max) {
        buf_putz(why, "more than is worth reading came before it");
        return;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0) {
        buf_putz(why, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        buf_putz(why, "it is no file"); /* a pipe: what is in it is for another */
    } else {
        parts[0] = (struct log_part){ 0, INT64_MAX };
        if (!span_ends(span_str(path), SPAN(".gz")))
            n = log_parts(fd, st.st_size, !r->text, r->since, parts, why);
        for (size_t i = 0; i < n; i++) {
            const char *trouble = read_part(r, fd, &parts[i], list);
            if (trouble)
                buf_printf(why, "%s%s", why->len ? ", " : "", trouble);
        }
    }
    if (fd >= 0)
        close(fd);
}

static size_t own_count(const struct reader *r, const json_t *events)
{
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(events); i++)
        n += is_own(r, json_array_get(events, i));
    return n;
}

/* What the older file says comes before. */
static void put_before(const struct reader *r, json_t *events, json_t *older, size_t max)
{
    for (size_t i = json_array_size(older); i > 0 && own_count(r, events) < max; i--)
        json_array_insert(events, 0, json_array_get(older, i - 1));
}

static void read_file(struct reader *r, const struct file *f)
{
    json_t *list = json_array(), *row = json_pack("{s:s}", "path", f->path);
    struct buf why;
    buf_init(&why, 1000);
    r->own = 0;
    if (f->packed)
        buf_putz(&why, "it is packed in a way that is not read here");
    else
        read_lines(r, f->path, list, &why);
    put_before(r, r->l->events, list, r->shown);
    json_object_set_new(row, "read", json_boolean(!why.len));
    if (why.len)
        json_object_set_new(row, "why", json_string(buf_cstr(&why)));
    buf_free(&why);
    json_array_append_new(r->l->files, row);
    json_decref(list);
}

/* --- the whole --- */

/* When an id was made (envelope/queueid.h), as far as its time shows it; 0: it cannot be read. */
static time_t id_time(const char *id)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwx";
    int v[6];
    time_t now = time(NULL);
    struct tm tm;
    for (int i = 0; i < 6; i++) {
        const char *at = strchr(digits, id[i]);
        v[i] = at ? (int)(at - digits) : 0;
    }
    if (!gmtime_r(&now, &tm))
        return 0;
    int year = tm.tm_year - (tm.tm_year - v[0]) % 60;
    struct tm made = { .tm_year = year, .tm_mon = v[1], .tm_mday = v[2], .tm_hour = v[3],
                       .tm_min = v[4], .tm_sec = v[5] };
    return timegm(&made);
}

static struct span time_of(const json_t *events, size_t i, bool of_one)
{
    const json_t *row = json_array_get(events, i);
    const char *time = json_string_value(json_object_get(row, "time"));
    const char *event = json_string_value(json_object_get(row, "event"));
    bool first = of_one && event && strcmp(event, "received") == 0;
    return span_str(time && !first ? time : "");
}

/* Several processes write: what they write at the same time comes in any order, and smtpd may say
 * that a message was received when qmgr has sent it already. */
static void sort(json_t *events, bool of_one)
{
    for (size_t i = 1; i < json_array_size(events); i++) {
        size_t at = i;
        while (at > 0 && span_cmp(time_of(events, at - 1, of_one), time_of(events, i, of_one)) > 0)
            at--;
        if (at == i)
            continue;
        json_t *row = json_incref(json_array_get(events, i));
        json_array_remove(events, i);
        json_array_insert_new(events, at, row);
    }
}

void why_log_read(const struct config *cfg, const char *word, struct why_log *l)
{
    struct span path = cfg->log.events.n ? cfg->log.events : cfg->log.file;
    struct reader *r = NEW(struct reader);
    *l = (struct why_log){ json_array(), json_array(), path.n > 0 };
    r->l = l;
    r->word = word;
    r->kind = why_log_kind(span_str(word));
    r->text = !cfg->log.events.n;
    add_names(r);
    r->shown = r->kind == WHY_LOG_ID ? EVENTS_OF_ID : EVENTS_OF_NAME;
    r->bytes_max = r->kind == WHY_LOG_ID ? ALL_BYTES_MAX : NAME_BYTES_MAX;
    r->since = r->kind == WHY_LOG_ID ? id_time(word) - EARLY_S : 0;
    if (path.n) {
        struct file now = { must_strndup(path.p, path.n), 0, false };
        read_file(r, &now);
        free(now.path);
        find_rotated(r, path);
    }
    for (size_t i = 0; i < r->file_count; i++) {
        bool enough = r->complete || own_count(r, l->events) >= r->shown;
        if (!enough && r->files[i].changed >= r->since)
            read_file(r, &r->files[i]);
        free(r->files[i].path);
    }
    sort(l->events, r->kind == WHY_LOG_ID);
    for (size_t i = 0; i < r->name_count; i++) {
        free(r->names[i]);
        free(r->needles[i]);
    }
    free(r);
}

void why_log_free(struct why_log *l)
{
    json_decref(l->events);
    json_decref(l->files);
    *l = (struct why_log){ .events = NULL };
}
