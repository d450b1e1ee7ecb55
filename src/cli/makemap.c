/* makemap as sendmail has it: flags, texts and exit codes. Two things differ. The map is a cdb, and
 * it appears whole or not at all. Lines that are bad are passed over and the rest is built, as
 * people's scripts expect. */
#include "cli/makemap.h"

#include "base/hash.h"
#include "base/list.h"
#include "base/must.h"
#include "cli/makemap_file.h"
#include "maps/map.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static const char usage[] =
    "Usage: makemap [-C cffile] [-N] [-c cachesize] [-D commentchar]\n"
    "       [-d] [-e] [-f] [-i type] [-l] [-o] [-r] [-s] [-t delimiter] [-u] [-v] type mapname\n";

struct entry {
    struct hash_node node;
    struct list order;
    size_t value_n;
    char bytes[]; /* key, value */
};

struct makemap {
    bool dups, empty, keep_case, append, replace, unsafe, dump, verbose;
    char comment, separator; /* separator 0: white space */
    const char *type, *name; /* name as given */
    char *path;              /* FILE.cdb */
    struct hash hash;
    struct list entries;
    size_t n;
    int rc;
};

static void __attribute__((format(printf, 3, 4)))
say(struct makemap *mm, unsigned line, const char *fmt, ...)
{
    va_list ap;
    fflush(stdout);
    fprintf(stderr, "makemap: %s: line %u: ", mm->name, line);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    mm->rc = EX_DATAERR;
}

static int cannot_open(const struct makemap *mm, const char *why)
{
    fprintf(stderr, "makemap: error opening type %s map %s: %s\n", mm->type, mm->name, why);
    return EX_CANTCREAT;
}

/* --- entries --- */

/* A second entry for a key does not count, takes the place of the first (-r) or stands behind it
 * (-d). False: it does not count. */
static bool store(struct makemap *mm, struct span key, struct span value)
{
    struct hash_node *old = hash_get(&mm->hash, key);
    if (old && !mm->dups && !mm->replace)
        return false;
    struct entry *e = must_alloc(must_add(sizeof *e, must_add(key.n, value.n)));
    memcpy(e->bytes, key.p, key.n);
    memcpy(e->bytes + key.n, value.n ? value.p : "", value.n);
    e->value_n = value.n;
    e->node.key = span_of(e->bytes, key.n);
    list_append(&mm->entries, &e->order);
    mm->n++;
    if (old && mm->dups)
        return true; /* the first of them is the one in the hash */
    if (old) {
        struct entry *gone = CONTAINER(old, struct entry, node);
        hash_remove(&mm->hash, old);
        list_remove(&gone->order);
        free(gone);
        mm->n--;
    }
    hash_add(&mm->hash, &e->node, e->node.key);
    return true;
}

static void store_old(void *ctx, struct span key, struct span value)
{
    struct makemap *mm = ctx;
    bool dups = mm->dups;
    mm->dups = true; /* as it was, whatever it was */
    store(mm, key, value);
    mm->dups = dups;
}

static bool is_separator(const struct makemap *mm, char c)
{
    return mm->separator ? c == mm->separator
                         : ascii_isblank(c) || c == '\r' || c == '\v' || c == '\f';
}

/* One line, without its LF. */
static void take_line(struct makemap *mm, char *p, size_t n, unsigned line)
{
    size_t key = 0, value;
    if (n == 0 || p[0] == mm->comment)
        return;
    if (!mm->separator && is_separator(mm, p[0])) {
        say(mm, line, "syntax error (leading space)");
        return;
    }
    if (memchr(p, 0, n)) {
        say(mm, line, "syntax error (NUL byte)");
        return;
    }
    for (; key < n && !is_separator(mm, p[key]); key++)
        if (!mm->keep_case)
            p[key] = ascii_lower(p[key]);
    for (value = key; value < n && is_separator(mm, p[value]);)
        value++;
    if (key == 0)
        say(mm, line, "empty key");
    else if (key > MAP_KEY_MAX)
        say(mm, line, "key too long (%d bytes max)", MAP_KEY_MAX);
    else if (value == n && !mm->empty)
        say(mm, line, "no RHS for LHS %.*s", (int)key, p);
    else {
        if (mm->verbose)
            printf("key=`%.*s', val=`%.*s'\n", (int)key, p, (int)(n - value), p + value);
        if (!store(mm, span_of(p, key), span_of(p + value, n - value)))
            say(mm, line, "key %.*s: duplicate key", (int)key, p);
    }
}

static void take_lines(struct makemap *mm)
{
    char *text = NULL;
    size_t cap = 0;
    ssize_t n;
    for (unsigned line = 1; (n = getline(&text, &cap, stdin)) > 0; line++) {
        size_t len = (size_t)n - (text[n - 1] == '\n');
        if (len > MAP_LINE_MAX)
            say(mm, line, "line too long (%d bytes max)", MAP_LINE_MAX);
        else
            take_line(mm, text, len, line);
    }
    if (ferror(stdin)) {
        fprintf(stderr, "makemap: %s: cannot read the input: %s\n", mm->name, strerror(errno));
        mm->rc = EX_IOERR;
    }
    free(text);
}

/* --- around --- */

/* Who may write into a directory above may put another map there. */
static void warn_directories(const char *path)
{
    char *dir = must_strndup(path, strlen(path)), real[PATH_MAX];
    char *slash = strrchr(dir, '/');
    if (slash)
        slash[slash == dir] = 0;
    const char *from = realpath(slash ? dir : ".", real);
    struct stat st;
    while (from) {
        if (stat(real, &st) == 0 && S_ISDIR(st.st_mode) && st.st_mode & S_IWOTH)
            fprintf(stderr, "WARNING: World writable directory %s\n", real);
        slash = strrchr(real, '/');
        if (!slash || real[1] == 0)
            break;
        slash[slash == real] = 0;
    }
    free(dir);
}

/* hash:FILE in a configuration means the text FILE where there is one. When that is not what the
 * map is made of, somebody is about to wonder. */
static void warn_text_beside(const struct makemap *mm)
{
    struct stat text, input;
    char *path = must_strndup(mm->path, strlen(mm->path) - strlen(".cdb"));
    if (stat(path, &text) == 0 && S_ISREG(text.st_mode) && fstat(STDIN_FILENO, &input) == 0 &&
        (text.st_ino != input.st_ino || text.st_dev != input.st_dev) &&
        strcmp(mm->type, "cdb") != 0)
        fprintf(stderr, "WARNING: %s:%s in a configuration reads the text %s, not %s\n", mm->type,
                path, path, mm->path);
    free(path);
}

static void put_entry(void *ctx, struct span key, struct span value)
{
    const struct makemap *mm = ctx;
    printf("%.*s%c%.*s\n", SPAN_ARG(key), mm->separator ? mm->separator : '\t', SPAN_ARG(value));
}

static int dump(struct makemap *mm)
{
    struct err e;
    struct stat st;
    char *db = must_strndup(mm->path, strlen(mm->path));
    memcpy(strrchr(db, '.'), ".db", sizeof ".db");
    if (!makemap_file_each(mm->path, &e, put_entry, mm)) {
        mm->rc = cannot_open(mm, e.text);
        if (stat(mm->path, &st) != 0 && stat(db, &st) == 0)
            fprintf(stderr, "makemap: %s is a Berkeley DB, which only sendmail's makemap reads: "
                    "run its makemap -u where sendmail is\n", db);
    } else if (fflush(stdout) != 0) {
        fprintf(stderr, "makemap: cannot write: %s\n", strerror(errno));
        mm->rc = EX_IOERR;
    }
    free(db);
    return mm->rc;
}

static int cannot_write(const struct makemap *mm, const char *why)
{
    fprintf(stderr, "makemap: error writing map %s: %s; it stays as it was\n", mm->name, why);
    return EX_IOERR;
}

static int build(struct makemap *mm)
{
    struct err e = { "" };
    bool good = true;
    struct makemap_file *f = makemap_file_begin(mm->path, &e);
    if (!f)
        return cannot_open(mm, e.text);
    if (mm->append && access(mm->path, F_OK) == 0 &&
        !makemap_file_each(mm->path, &e, store_old, mm)) {
        makemap_file_abandon(&f);
        return cannot_open(mm, e.text);
    }
    take_lines(mm);
    if (mm->rc == EX_IOERR) {
        makemap_file_abandon(&f);
        return mm->rc;
    }
    LIST_EACH(l, &mm->entries) {
        const struct entry *en = CONTAINER(l, struct entry, order);
        good = good && makemap_file_put(f, en->node.key,
                                        span_of(en->bytes + en->node.key.n, en->value_n));
    }
    if (!good) {
        err_set(&e, "%s", strerror(errno));
        makemap_file_abandon(&f);
        return cannot_write(mm, e.text);
    }
    if (!makemap_file_commit(&f, &e))
        return cannot_write(mm, e.text);
    if (mm->verbose) {
        fflush(stdout);
        fprintf(stderr, "makemap: wrote %s: %zu entries\n", mm->path, mm->n);
    }
    return mm->rc;
}

static bool known_type(const char *type)
{
    static const char *const types[] = { "hash", "btree", "dbm", "cdb", "implicit" };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(type, types[i]) == 0)
            return true;
    return false;
}

static int usage_error(void)
{
    fputs(usage, stderr);
    return EX_USAGE;
}

/* -1: go on; else the exit status. */
static int read_flag(struct makemap *mm, int c)
{
    switch (c) {
    case 'd': mm->dups = true; break;
    case 'e': mm->empty = true; break;
    case 'f': mm->keep_case = true; break;
    case 'o': mm->append = true; break;
    case 'r': mm->replace = true; break;
    case 's': mm->unsafe = true; break;
    case 'u': mm->dump = true; break;
    case 'v': mm->verbose = true; break;
    case 'D': mm->comment = optarg[0]; break;
    case 't':
        if (!optarg[0]) {
            fputs("makemap: invalid separator\n", stderr);
            return usage_error();
        }
        mm->separator = optarg[0];
        break;
    case 'C': /* there is no sendmail.cf to ask where the safe directories are */
    case 'c': /* no cache */
    case 'i':
    case 'N': /* a cdb knows the length of its keys */
        break;
    case 'l':
        fputs("hash\nbtree\ndbm\ncdb\nimplicit\n", stdout);
        return EX_OK;
    case 'h':
        fputs(usage, stdout);
        return EX_OK;
    default:
        return usage_error();
    }
    return -1;
}

/* FILE, FILE.db (as scripts have it) or FILE.cdb: FILE.cdb. */
static char *path_of(const char *name)
{
    struct span s = span_str(name);
    if (span_ends(s, SPAN(".db")))
        s.n -= 3;
    else if (span_ends(s, SPAN(".cdb")))
        s.n -= 4;
    char *path = must_alloc(s.n + sizeof ".cdb");
    memcpy(path, name, s.n);
    memcpy(path + s.n, ".cdb", sizeof ".cdb");
    return path;
}

static int work(struct makemap *mm)
{
    if (!known_type(mm->type))
        return cannot_open(mm, "Unknown database type");
    if (mm->dump)
        return dump(mm);
    if (!mm->unsafe)
        warn_directories(mm->path);
    warn_text_beside(mm);
    return build(mm);
}

static void free_entries(struct makemap *mm)
{
    LIST_EACH(l, &mm->entries)
        free(CONTAINER(l, struct entry, order));
    hash_free(&mm->hash);
}

int cli_makemap(int argc, char **argv)
{
    struct makemap mm = { .comment = '#' };
    int rc = -1, c;
    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        argv[1] = (char *)"-h";
    while (rc < 0 && (c = getopt(argc, argv, "C:D:Nc:defhi:lorst:uv")) != -1)
        rc = read_flag(&mm, c);
    if (rc >= 0)
        return rc;
    if (argc - optind != 2)
        return usage_error();
    mm.type = argv[optind];
    mm.name = argv[optind + 1];
    mm.path = path_of(mm.name);
    hash_init(&mm.hash, (uint64_t)getpid(), 0);
    list_init(&mm.entries);
    rc = work(&mm);
    free_entries(&mm);
    free(mm.path);
    return rc;
}
