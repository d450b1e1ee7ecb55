#include "cli/queue.h"

#include "base/num.h"
#include "cli/args.h"
#include "cli/ctl.h"
#include "cli/queue_act.h"
#include "cli/queue_export.h"
#include "cli/queue_hop.h"
#include "cli/queue_rule.h"
#include "cli/queue_show.h"
#include "cli/queue_words.h"
#include "cli/term.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "usage: postern queue [list] [FILTER...] [--sort age|size|domain|next] [--limit N]\n"
    "       postern queue count [FILTER...]\n"
    "       postern queue oldest [--by GROUP] [FILTER...] [--sort age|count|size|next]\n"
    "                     [--limit N]\n"
    "       postern queue shape [--by domain|site|reason|state] [FILTER...] [--limit N]\n"
    "       postern queue sites [--limit N]\n"
    "       postern queue run\n"
    "       postern queue hold | release | delete [--bounce] | bounce | expire  ID... | FILTER...\n"
    "       postern queue retry ID | ADDRESS | DOMAIN | DESTINATION | SITE... | FILTER...\n"
    "       postern queue reroute --to NEXTHOP | --back  ID... | FILTER...\n"
    "       postern queue reroute --to NEXTHOP --rule DOMAIN | DESTINATION | SITE...\n"
    "       postern queue reroute --list | --remove DOMAIN | DESTINATION | SITE...\n"
    "       postern queue freeze [DOMAIN | DESTINATION | SITE...]\n"
    "       postern queue thaw DOMAIN | DESTINATION | SITE...\n"
    "       postern queue export DIRECTORY ID... | FILTER...\n"
    "       postern queue clock [believe]\n"
    "\n"
    "list     every message that waits, a line for each recipient: why, and when it is tried\n"
    "count    how many, by state; with a filter, how many it means\n"
    "oldest   for each domain (site, reason, state, sender, sender-domain, listener, client):\n"
    "         how many wait, the oldest of them, why, and the next try\n"
    "shape    ages and domains as a table\n"
    "sites    destinations and the sites (MX sets) behind them: those that are down first\n"
    "run      sends what waits for a queue run (listeners with delivery = queue_only)\n"
    "hold     not delivered any more until release; both outlive a restart\n"
    "delete   removes a message for good; its sender is not told, but with --bounce\n"
    "bounce   returns it to its sender now; expire: as if its time were over\n"
    "retry    now, past any back-off: a message, what goes to an address, to a domain, or to a\n"
    "         destination or site as `sites` names it, or by one of its hosts\n"
    "reroute  to another next hop until it is delivered, or --back; --rule: all mail, until the\n"
    "         rule is withdrawn by --remove; --list shows the rules\n"
    "freeze   starts nothing more for a domain, destination or site, until thaw; without a\n"
    "         name, shows what is frozen\n"
    "export   copies messages as ID.eml into a directory\n"
    "clock    whether it is believed; believe: mail is as old as it says\n"
    "\n"
    QUEUE_WORDS_HELP
    "  --all          every message\n"
    "What a filter means is shown, counted and asked about before it is changed.\n"
    "\n"
    "  -C FILE        the configuration that names the socket (" CLI_CONFIG_FILE ")\n"
    "  --socket PATH  the gateway's admin socket\n"
    "  --limit N      so many messages, groups, or destinations and sites\n"
    "  --yes          does it without asking\n"
    "  --dry-run      shows and counts what an action means, and changes nothing\n"
    "  --json         JSON objects, one a line\n"
    "\n"
    "exit status: 0 done, also where a filter means nothing, 64 usage, 66 what was named is not\n"
    "there (some of it), 68 the next hop does not exist, 69 no gateway answers, 73 or 74 a file\n"
    "cannot be written, 75 try later, 77 not allowed, 130 interrupted\n";

enum { FLUSH_BYTES = 64 << 10, OUT_MAX_BYTES = 64 << 20 };

enum { FILTERS = 1, SORTS = 2, LIMITS = 4, GROUPED = 8, ACTS = 16, PLAIN_IDS = 32, TO_HOP = 64 };

static const struct verb {
    const char *name, *ask; /* ask: qmgr's */
    enum queue_what what;
    unsigned may;
    size_t words_min, words_max; /* besides ids */
} verbs[] = {
    { "list", "list", QUEUE_LIST, FILTERS | SORTS | LIMITS, 0, 0 },
    { "count", "count", QUEUE_COUNT, FILTERS, 0, 0 },
    { "oldest", "groups", QUEUE_GROUPS, FILTERS | SORTS | LIMITS | GROUPED, 0, 0 },
    { "shape", "groups", QUEUE_SHAPE, FILTERS | SORTS | LIMITS | GROUPED, 0, 0 },
    { "sites", "sites", QUEUE_SITES, LIMITS, 0, 0 },
    { "run", "run", QUEUE_ACTIONS, 0, 0, 0 },
    { "hold", "hold", QUEUE_ACTIONS, FILTERS | ACTS | PLAIN_IDS, 0, 0 },
    { "release", "release", QUEUE_ACTIONS, FILTERS | ACTS | PLAIN_IDS, 0, 0 },
    { "delete", "delete", QUEUE_ACTIONS, FILTERS | ACTS | PLAIN_IDS, 0, 0 },
    { "retry", "act", QUEUE_ACTIONS, FILTERS | ACTS, 0, 0 },
    { "bounce", "bounce", QUEUE_ACTIONS, FILTERS | ACTS, 0, 0 },
    { "expire", "expire", QUEUE_ACTIONS, FILTERS | ACTS, 0, 0 },
    { "reroute", "reroute", QUEUE_ACTIONS, FILTERS | ACTS | TO_HOP, 0, 0 },
    { "freeze", "freeze", QUEUE_ACTIONS, 0, 0, QUEUE_WORDS_MAX },
    { "thaw", "thaw", QUEUE_ACTIONS, 0, 1, QUEUE_WORDS_MAX },
    { "export", "export", QUEUE_ACTIONS, FILTERS | ACTS, 1, 1 },
    { "clock", "clock", QUEUE_ACTIONS, 0, 0, 1 },
};
enum { VERBS = sizeof verbs / sizeof *verbs };

struct request {
    struct cli_args a;
    const struct verb *verb;
    const char *limit, *sort, *by, *hop;
    bool yes, dry, bounce, rule, remove, list, back, all;
    bool hops; /* --to was given again */
    bool reached; /* the gateway was */
    const char *ids[QUEUE_WORDS_MAX]; /* and other words */
    size_t n;
    struct queue_words words;
    size_t asked; /* so many of them are what is asked for; then come limit, sort ... */
};

struct output {
    bool json;
    enum queue_what what;
    struct queue_show *show;
    struct buf out, err;
    bool at_once; /* few rows, each worth telling as it comes */
    bool any;     /* there was one */
    bool failed;
};

/* --- arguments --- */

static bool is(const struct request *rq, const char *verb)
{
    return strcmp(rq->verb->name, verb) == 0;
}

static int take_word(struct request *rq, const char *word)
{
    const char *names[VERBS];
    if (strcmp(word, "--verbose") == 0)
        return cli_usage_error(&rq->a, "postern retry has it", word);
    if (word[0] == '-')
        return cli_usage_error(&rq->a, "unknown option", word);
    if (rq->verb) {
        if (rq->n == QUEUE_WORDS_MAX - 8)
            return cli_usage_error(&rq->a, "more arguments than it takes at once", NULL);
        rq->ids[rq->n++] = word;
        return EX_OK;
    }
    for (size_t i = 0; i < VERBS; i++) {
        names[i] = verbs[i].name;
        if (strcmp(word, verbs[i].name) == 0)
            rq->verb = &verbs[i];
    }
    rq->a.help |= strcmp(word, "help") == 0;
    return rq->verb || rq->a.help ? EX_OK : cli_unknown(&rq->a, word, names, VERBS);
}

/* Options without a value, and those of our own. 1 taken, 0 not known, -1 the value is missing. */
static int take_option(struct request *rq, const char *option, const char *value, int *i)
{
    struct { const char *option; bool *to; } flags[] = {
        { "--yes", &rq->yes }, { "--bounce", &rq->bounce }, { "--rule", &rq->rule },
        { "--all", &rq->all }, { "--remove", &rq->remove }, { "--list", &rq->list },
        { "--back", &rq->back }, { "--dry-run", &rq->dry },
    };
    struct { const char *option; const char **to; } values[] = {
        { "--limit", &rq->limit }, { "--sort", &rq->sort }, { "--by", &rq->by },
    };
    for (size_t k = 0; k < sizeof flags / sizeof *flags; k++)
        if (strcmp(option, flags[k].option) == 0)
            return *flags[k].to = true;
    bool to = strcmp(option, "--to") == 0;
    const char **place = to && rq->verb && rq->verb->may & TO_HOP ? &rq->hop : NULL;
    for (size_t k = 0; k < sizeof values / sizeof *values; k++)
        if (strcmp(option, values[k].option) == 0)
            place = values[k].to;
    if (place) {
        rq->hops |= place == &rq->hop && rq->hop;
        *place = value;
        *i += 1;
        return value ? 1 : -1;
    }
    int rc = queue_words_option(&rq->words, option, value);
    *i += rc != 0;
    return rc;
}

static enum queue_rule_verb rule_verb(const struct request *rq)
{
    return rq->list     ? QUEUE_RULE_LIST
           : rq->remove ? QUEUE_RULE_REMOVE
           : rq->rule   ? QUEUE_RULE_SET
                        : QUEUE_RULE_NONE;
}

static int check_options(const struct request *rq)
{
    unsigned may = rq->verb->may;
    uint64_t n;
    const char *v = rq->verb->name;
    if (rq->limit && !(may & LIMITS))
        return cli_usage_error(&rq->a, "takes no --limit", v);
    if (rq->limit && !num_u64(span_str(rq->limit), &n))
        return cli_usage_error(&rq->a, "a number is missing", "--limit");
    if (rq->sort && !(may & SORTS))
        return cli_usage_error(&rq->a, "takes no --sort", v);
    if (rq->by && !(may & GROUPED))
        return cli_usage_error(&rq->a, "takes no --by", v);
    if (rq->words.filters && !(may & FILTERS))
        return cli_usage_error(&rq->a, "takes no filter", v);
    enum queue_rule_verb rule = rule_verb(rq);
    if ((rq->yes && rq->verb->what != QUEUE_ACTIONS) || (rq->all && (!(may & FILTERS) || rule)) ||
        (rq->dry && (!(may & ACTS) || rule)) || (rq->bounce && !is(rq, "delete")) ||
        ((rule || rq->back) && !is(rq, "reroute")) ||
        rq->rule + rq->remove + rq->list + rq->back > 1 ||
        (rq->hop && (rule > QUEUE_RULE_SET || rq->back)))
        return cli_usage_error(&rq->a, "takes no such option", v);
    if (rq->hops)
        return cli_fail(&rq->a, EX_USAGE, "%s takes one next hop, and --to says it: of recipients "
                        "say --rcpt", v);
    if (may & TO_HOP && !rq->hop && rule <= QUEUE_RULE_SET && !rq->back)
        return cli_usage_error(&rq->a, "where to? --to NEXTHOP is missing", v);
    return EX_OK;
}

/* What is no id, or not asked for by one, but would be chosen by a filter. */
static int no_id(const struct request *rq, const char *word)
{
    const char *option = strchr(word, '@') ? "--to" : strchr(word, ':') ? "--site"
                       : strchr(word, '.') ? "--domain" : "--id";
    return cli_fail(&rq->a, EX_USAGE, "%s takes %sfilters, and %s is no%s: say %s %s",
                    rq->verb->name, rq->verb->may & ACTS ? "ids or " : "", word,
                    rq->verb->may & ACTS ? " id" : "ne", option, word);
}

/* Also with a colon behind it, as it stands in a log. */
static bool may_be_id(const char *word)
{
    const char *colon = strchr(word, ':');
    return !strpbrk(word, "@.") && (!colon || (colon > word && !colon[1]));
}

static int check_args(struct request *rq)
{
    rq->verb = rq->verb ? rq->verb : &verbs[0];
    unsigned may = rq->verb->may;
    size_t own = rq->verb->words_min;
    const char *v = rq->verb->name;
    int rc = check_options(rq);
    if (rc != EX_OK)
        return rc;
    if (rq->n < own)
        return cli_usage_error(&rq->a, is(rq, "export") ? "a directory is missing"
                                                        : "a name is missing", v);
    if (may & ACTS && rq->n == own && !rq->words.filters && !rq->all && !rule_verb(rq))
        return cli_usage_error(&rq->a, is(rq, "retry")
                                           ? "an id, a domain or a destination is missing"
                                           : "which messages? an id or a filter is missing", v);
    if (may & ACTS && rq->all && (rq->n > own || rq->words.filters))
        return cli_usage_error(&rq->a, "every message, or those of a filter or id", "--all");
    for (size_t i = own; may & ACTS && !is(rq, "retry") && !rule_verb(rq) && i < rq->n; i++)
        if (!may_be_id(rq->ids[i]))
            return no_id(rq, rq->ids[i]);
    if (!(may & ACTS) && rq->n > rq->verb->words_max)
        return may & FILTERS ? no_id(rq, rq->ids[rq->verb->words_max])
                             : cli_usage_error(&rq->a, "one word too many",
                                               rq->ids[rq->verb->words_max]);
    return EX_OK;
}

static int read_args(struct request *rq, int argc, char **argv)
{
    int rc = EX_OK;
    for (int i = 1; i < argc && rc == EX_OK; i++) {
        const char *option = argv[i];
        if (cli_common(&rq->a, argc, argv, &i, &rc))
            continue;
        int got = option[0] == '-' ? take_option(rq, option, i + 1 < argc ? argv[i + 1] : NULL, &i)
                                   : 0;
        if (got < 0)
            rc = cli_usage_error(&rq->a, strcmp(option, "--limit") == 0 ? "a number is missing"
                                         : "a value is missing, or too long", option);
        else if (got == 0)
            rc = take_word(rq, option);
    }
    return rc == EX_OK && !rq->a.help ? check_args(rq) : rc;
}

/* --- output --- */

static void flush(struct output *o)
{
    if (!cli_print(&o->out))
        o->failed = true;
    if (o->err.len)
        fprintf(stderr, "%s", buf_cstr(&o->err));
    buf_reset(&o->err);
}

/* Without what only this program is told: how far it has counted. */
static void put_count(struct buf *out, struct span json)
{
    json_t *row = ctl_json(json, OUT_MAX_BYTES);
    json_object_del(row, "upto");
    ctl_put_json(out, row);
    json_decref(row);
}

static void on_row(void *ctx, struct span json)
{
    struct output *o = ctx;
    o->any = true;
    if (o->json && o->what == QUEUE_COUNT) {
        put_count(&o->out, json);
    } else if (o->json) {
        buf_puts(&o->out, json);
        buf_putc(&o->out, '\n');
    } else {
        queue_show_row(o->show, json, &o->out, &o->err);
    }
    if (o->at_once || o->out.len >= FLUSH_BYTES || o->err.len)
        flush(o);
}

static void on_count(void *ctx, struct span row)
{
    struct queue_totals *t = ctx;
    json_t *o = ctl_json(row, OUT_MAX_BYTES);
    t->meant = (uint64_t)json_integer_value(json_object_get(o, "messages"));
    t->unsited = json_integer_value(json_object_get(o, "site_unknown"));
    t->meant_at_most = json_is_true(json_object_get(o, "messages_at_most"));
    json_decref(o);
}

/* Where not all may have been shown, or nothing, it is counted what there is. */
static void find_totals(const struct request *rq, struct output *o)
{
    struct queue_totals t = { 0 };
    uint64_t limit = UINT64_MAX;
    bool list = rq->verb->what == QUEUE_LIST, sorted = rq->sort && strcmp(rq->sort, "age") != 0;
    if (rq->limit)
        num_u64(span_str(rq->limit), &limit);
    bool some = list && (sorted || queue_show_messages(o->show) >= limit);
    bool nothing = (list || rq->verb->may & GROUPED) && queue_show_nothing(o->show) && limit > 0;
    if (some || nothing)
        t.known = ctl_once(&rq->a, "count", rq->words.v, nothing ? 0 : rq->asked, on_count,
                           &t) == EX_OK;
    t.all = t.meant;
    t.meant = nothing ? 0 : t.meant;
    t.unsited = queue_words_by_site(&rq->words) ? t.unsited : 0;
    queue_show_totals(o->show, t);
}

static int ask(struct request *rq)
{
    struct ctl c;
    enum queue_what what = rq->verb->what;
    struct output o = { .json = rq->a.json, .what = what, .at_once = what == QUEUE_ACTIONS };
    int rc = ctl_open(&c, &rq->a);
    rq->reached = rc == EX_OK;
    buf_init(&o.out, OUT_MAX_BYTES);
    buf_init(&o.err, 1 << 20);
    o.show = queue_show_new(what, term_width(STDOUT_FILENO),
                            term_colour(STDOUT_FILENO), (int64_t)time(NULL) * 1000);
    if (rc == EX_OK) {
        rc = ctl_run(&c, rq->verb->ask, rq->words.v, rq->words.n, on_row, &o);
        if (rc == EX_OK && !o.json) {
            flush(&o);
            find_totals(rq, &o);
            queue_show_end(o.show, &o.out);
            if (!o.any && !rq->n && is(rq, "freeze"))
                buf_putz(&o.out, "nothing is frozen\n");
        }
        flush(&o);
        if (rc == EX_OK && o.failed)
            rc = cli_fail(&rq->a, EX_IOERR, "the output cannot be written");
    }
    queue_show_free(&o.show);
    buf_free(&o.out);
    buf_free(&o.err);
    ctl_close(&c);
    return rc;
}

/* --- what is asked --- */

static bool put_options(struct request *rq)
{
    struct queue_words *w = &rq->words;
    bool shape = rq->verb->what == QUEUE_SHAPE;
    const char *sort = rq->sort ? rq->sort : shape ? "count" : NULL;
    const char *limit = rq->limit ? rq->limit : shape ? "20" : NULL;
    return (!shape || queue_words_plain(w, "shape")) &&
           (!rq->by || queue_words_add(w, "by", rq->by)) &&
           (!sort || queue_words_add(w, "sort", sort)) &&
           (!limit || queue_words_add(w, "limit", limit));
}

/* What is held already is not meant by a hold, what is not by no release: nor is it counted. Who
 * names states himself is taken by his word. */
static bool put_states(struct request *rq)
{
    const char *of = is(rq, "release") ? "state=held,quarantined"
                     : is(rq, "hold")  ? "!state=held,quarantined" : NULL;
    return !of || queue_words_about(&rq->words, "state") || queue_words_plain(&rq->words, of);
}

/* What is named needs no question; the words behind the verb's own are ids, a retry's is what it
 * is for. */
static int act(struct request *rq)
{
    struct queue_words *w = &rq->words;
    bool by_filter = w->filters || rq->all, nothing = false, fits = true;
    const char *verb = rq->bounce ? "bounce" : rq->back ? "back" : rq->verb->name;
    size_t own = rq->verb->words_min;
    if (rule_verb(rq))
        return queue_rule(&rq->a, rule_verb(rq), w, rq->ids, rq->n, rq->hop);
    int rc = rq->hop ? queue_hop_check(&rq->a, rq->hop) : EX_OK;
    if (rc != EX_OK)
        return rc;
    for (size_t i = own; i < rq->n; i++)
        fits = fits && queue_words_add(w, is(rq, "retry") ? "target" : "id", rq->ids[i]);
    if (!fits)
        return cli_usage_error(&rq->a, "more arguments than it takes at once", NULL);
    if (by_filter && !put_states(rq))
        return cli_usage_error(&rq->a, "more arguments than it takes at once", NULL);
    if (rq->dry)
        return queue_act_dry_run(&rq->a, w, rq->back ? "reroute --back" : verb);
    if (is(rq, "export"))
        return queue_export(&rq->a, w, rq->ids[0], !by_filter);
    if (by_filter)
        rc = queue_act_confirm(&rq->a, w, rq->back ? "reroute --back" : verb, rq->yes,
                               &nothing);
    if (rc != EX_OK || nothing)
        return rc;
    if (!queue_words_add(w, "action", verb) || (rq->hop && !queue_words_add(w, "nexthop", rq->hop)))
        return cli_usage_error(&rq->a, "more arguments than it takes at once", NULL);
    return queue_act_run(&rq->a, w, !by_filter);
}

/* Names one by one; the worst status is that of all. */
static int ask_each(struct request *rq)
{
    int worst = EX_OK;
    for (size_t i = 0; i < rq->n; i++) {
        rq->words.n = 0;
        queue_words_plain(&rq->words, rq->ids[i]);
        int rc = ask(rq);
        worst = rc > worst ? rc : worst;
        if (!rq->reached)
            break;
    }
    return worst;
}

static int run(struct request *rq)
{
    bool by_filter = rq->words.filters || rq->all;
    bool plain = rq->verb->may & PLAIN_IDS && !by_filter && !rq->bounce && !rq->dry;
    if (rq->verb->may & ACTS && !plain)
        return act(rq);
    if (rq->n && (is(rq, "freeze") || is(rq, "thaw")))
        return ask_each(rq);
    bool fits = true;
    for (size_t i = 0; i < rq->n; i++)
        fits = fits && (plain ? queue_words_id(&rq->words, rq->ids[i])
                              : queue_words_plain(&rq->words, rq->ids[i]));
    if (!fits)
        return cli_usage_error(&rq->a, "more arguments than it takes at once", NULL);
    rq->asked = rq->words.n;
    if (!put_options(rq))
        return cli_usage_error(&rq->a, "more arguments than it takes at once", NULL);
    return ask(rq);
}

/* --- help --- */

static bool has_word(struct span text, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= text.n; i++) {
        bool alone = (i == 0 || strchr(" [", text.p[i - 1])) &&
                     (i + n == text.n || strchr(" ];:,\n", text.p[i + n]));
        if (alone && memcmp(text.p + i, word, n) == 0)
            return true;
    }
    return false;
}

/* Entries of a part of the usage: a line, and those behind it that begin with `more`. Puts those
 * that begin with the verb, or else any that name it. */
static void put_entries(struct span part, struct span more, const char *verb)
{
    for (int named = 0, found = 0; named < 2 && !found; named++) {
        for (struct span rest = part; rest.n;) {
            size_t n = span_find(rest, '\n') + 1;
            while (n < rest.n && span_starts(span_from(rest, n), more))
                n += span_find(span_from(rest, n), '\n') + 1;
            struct span entry = span_to(rest, n);
            bool first = more.n > 1 || (span_starts(entry, span_str(verb)) &&
                                        entry.p[strlen(verb)] == ' ');
            if (named ? has_word(entry, verb) : first && has_word(entry, verb))
                found = printf("%.*s", SPAN_ARG(entry));
            rest = span_from(rest, n);
        }
    }
}

/* Of one verb what is about it, of none all. */
static void help(const struct request *rq)
{
    static const struct span gap = SPAN("                "), blank = SPAN(" ");
    const char *verbs_at = strstr(usage, "\n\n") + 2, *filters_at = strstr(verbs_at, "\n\n") + 2;
    const char *rest_at = strstr(filters_at, "\n\n") + 2;
    if (!rq->verb) {
        fputs(usage, stdout);
        return;
    }
    put_entries(span_of(usage, (size_t)(verbs_at - 1 - usage)), gap, rq->verb->name);
    putchar('\n');
    put_entries(span_of(verbs_at, (size_t)(filters_at - 1 - verbs_at)), blank, rq->verb->name);
    putchar('\n');
    if (rq->verb->may & FILTERS)
        printf("%.*s", (int)(rest_at - filters_at), filters_at);
    fputs(rest_at, stdout);
}

int cli_queue(int argc, char **argv)
{
    struct request rq = {
        .a = { .verb = "queue", .usage = usage, .config = CLI_CONFIG_FILE }
    };
    int rc = read_args(&rq, argc, argv);
    if (rc != EX_OK)
        return rc;
    if (rq.a.help) {
        help(&rq);
        return EX_OK;
    }
    return run(&rq);
}
