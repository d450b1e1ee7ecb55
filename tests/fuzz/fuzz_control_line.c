/* The admin socket's request: any bytes, cut anywhere; what is taken is within its limits. */
#include "base/must.h"
#include "control/request.h"
#include "proto/lists.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span in = span_of(data, n), line, text;
    struct control_request r;
    struct err e = { "" };
    int got = control_line(in, &line);
    if (got != 1)
        return 0;
    MUST(line.n < CONTROL_LINE_MAX && span_find(line, '\n') == line.n);
    MUST(control_line(span_to(in, line.n), &text) != 1);
    if (control_request_get(line, &r, &e)) {
        size_t count = 0;
        struct wire w = wire_reader(buf_span(&r.args));
        while (list_next_text(&w, &text)) {
            MUST(text.n <= CONTROL_ARG_MAX);
            count++;
        }
        MUST(wire_done(&w) && count == r.arg_count && count <= CONTROL_ARGS_MAX && r.verb[0]);
    } else {
        MUST(e.text[0]);
    }
    control_request_free(&r);
    return 0;
}
