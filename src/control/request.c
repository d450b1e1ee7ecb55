#include "control/request.h"

#include "base/json.h"
#include "base/wire.h"

#include <jansson.h>

int control_line(struct span in, struct span *line_r)
{
    size_t n = span_find(in, '\n');
    if (n == in.n)
        return in.n >= CONTROL_LINE_MAX ? -1 : 0;
    if (n + 1 > CONTROL_LINE_MAX)
        return -1;
    *line_r = span_to(in, n);
    if (line_r->n && line_r->p[line_r->n - 1] == '\r')
        line_r->n--;
    return 1;
}

static bool take_verb(const json_t *verb, struct control_request *r, struct err *err)
{
    size_t n = verb && json_is_string(verb) ? json_string_length(verb) : 0;
    if (n == 0 || n > CONTROL_VERB_MAX) {
        err_set(err, "\"verb\" is not a text of 1 to %d bytes", CONTROL_VERB_MAX);
        return false;
    }
    memcpy(r->verb, json_string_value(verb), n + 1);
    return true;
}

static bool take_args(const json_t *args, struct control_request *r, struct err *err)
{
    if (!args)
        return true;
    if (!json_is_array(args) || json_array_size(args) > CONTROL_ARGS_MAX) {
        err_set(err, "\"args\" is not a list of at most %d texts", CONTROL_ARGS_MAX);
        return false;
    }
    for (size_t i = 0; i < json_array_size(args); i++) {
        const json_t *arg = json_array_get(args, i);
        if (!json_is_string(arg) || json_string_length(arg) > CONTROL_ARG_MAX) {
            err_set(err, "argument %zu is not a text of at most %d bytes", i + 1,
                    CONTROL_ARG_MAX);
            return false;
        }
        wire_put_bytes(&r->args, span_of(json_string_value(arg), json_string_length(arg)));
        r->arg_count++;
    }
    return true;
}

static bool known_keys(json_t *root, struct err *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value) {
        if (strcmp(key, "verb") != 0 && strcmp(key, "args") != 0) {
            err_set(err, "unknown member \"%.40s\"", key);
            return false;
        }
    }
    return true;
}

bool control_request_get(struct span line, struct control_request *r, struct err *err)
{
    json_error_t why;
    *r = (struct control_request){ .arg_count = 0 };
    buf_init(&r->args, CONTROL_LINE_MAX + 4 * CONTROL_ARGS_MAX);
    json_t *root = json_loadb(line.p ? line.p : "", line.n, JSON_REJECT_DUPLICATES, &why);
    if (!root) {
        err_set(err, "not a line of JSON: %s", why.text);
        return false;
    }
    bool ok = json_is_object(root);
    if (!ok)
        err_set(err, "not a JSON object");
    ok = ok && known_keys(root, err) && take_verb(json_object_get(root, "verb"), r, err) &&
         take_args(json_object_get(root, "args"), r, err);
    json_decref(root);
    return ok;
}

void control_request_free(struct control_request *r) { buf_free(&r->args); }

void control_put_end(struct buf *b, int exit, struct span text)
{
    struct json j = json_writer(b);
    json_open(&j, NULL);
    json_str(&j, "end", exit ? SPAN("error") : SPAN("ok"));
    if (exit) {
        json_str(&j, "text", text);
        json_int(&j, "exit", exit);
    }
    json_close(&j);
    buf_putc(b, '\n');
}
