#include "smtpd/inside.h"

#include "base/must.h"

#include <stdlib.h>

static uint32_t delivery_flags(enum config_delivery delivery)
{
    switch (delivery) {
    case CONFIG_DELIVER: return 0;
    case CONFIG_QUEUE_ONLY: return ENVELOPE_QUEUE_ONLY;
    case CONFIG_DEFER: return ENVELOPE_DEFER;
    case CONFIG_HOLD: return ENVELOPE_HOLD;
    }
    return 0;
}

/* The greeting may wait for both at once, whatever a question is given. */
static int64_t greeting_waits_ms(const struct config *cfg)
{
    int64_t name_ms = cfg->server.reverse_names ? cfg->server.reverse_timeout_ms : 0;
    return name_ms > cfg->server.greeting_pause_ms ? name_ms : cfg->server.greeting_pause_ms;
}

static void fill_server(struct smtp_server_config *c, const struct config *cfg,
                        const struct config_listen *l, struct span instance, bool have_tls)
{
    smtp_server_config_init(c);
    c->hostname = cfg->hostname;
    c->postmaster = cfg->postmaster;
    if (l->greeting.n)
        c->greeting = l->greeting;
    c->instance = instance;
    c->listener = l->name;
    c->starttls = have_tls && l->tls != CONFIG_TLS_OFF;
    c->starttls_required = l->tls == CONFIG_TLS_REQUIRED;
    c->bare_newline =
        l->bare_newline == CONFIG_NEWLINE_NORMALISE ? DATA_NORMALISE : DATA_REJECT;
    c->envelope_flags = delivery_flags(l->delivery);
    c->ask = SMTP_ASK(SMTP_HOOK_MAIL);
    if (cfg->server.greeting_pause_ms > 0 || cfg->server.reverse_names || cfg->route.access.n)
        c->ask |= SMTP_ASK(SMTP_HOOK_CONNECT);
    if (rewrite_wanted(cfg))
        c->ask |= SMTP_ASK(SMTP_HOOK_HEADER);
    c->message_bytes = cfg->limits.message_size_bytes;
    c->line_bytes = cfg->limits.line_length_bytes;
    c->command_bytes = cfg->limits.command_length_bytes;
    c->recipients = (unsigned)cfg->limits.recipients;
    c->received_max = (unsigned)cfg->limits.hops;
    c->bad_commands = (unsigned)cfg->server.bad_commands;
    c->command_ms = cfg->server.command_ms;
    c->transaction_ms = cfg->server.transaction_ms;
    c->answer_ms = cfg->server.question_ms;
    c->connect_ms = greeting_waits_ms(cfg);
    c->commit_ms = cfg->server.commit_ms;
}

enum { TLS_1_3 = 0x0304 };

static struct tls_server_ctx *make_tls(struct generation *g, struct err *err)
{
    struct smtpd *d = g->d;
    struct tls_server_config tc = { 0 };
    tc.min_version = g->config->tls.min_version == CONFIG_TLS_1_3 ? TLS_1_3 : 0;
    struct tls_server_ops ops = { .sign_request = backend_sign, .arg = g };
    for (size_t i = 0; i < CERTS_MAX; i++)
        if (d->certs[i])
            tc.chain_pem[tc.chains++] = span_of(d->certs[i], d->cert_bytes[i]);
    if (tc.chains == 0)
        return NULL;
    struct tls_server_ctx *ctx = tls_server_ctx_new(&tc, &ops, err);
    if (ctx && d->tickets.len)
        tls_server_set_tickets(ctx, buf_span(&d->tickets));
    return ctx;
}

struct generation *generation_new(struct smtpd *d, struct config *cfg, struct err *err)
{
    struct generation *g = NEW(struct generation);
    g->refs = 1;
    g->d = d;
    g->number = ++d->generation_count;
    list_append(&d->generations, &g->node);
    g->config = cfg;
    g->tls = make_tls(g, err);
    g->servers = must_calloc(cfg->n_listens + 1, sizeof *g->servers);
    g->submit = (struct config_listen){ .name = SPAN("submit"),
                                        .tls = CONFIG_TLS_OFF,
                                        .delivery = cfg->submit.delivery,
                                        .bare_newline = CONFIG_NEWLINE_NORMALISE };
    fill_server(&g->servers[cfg->n_listens], cfg, &g->submit, span_str(d->env->instance_id), false);
    g->servers[cfg->n_listens].ask &= ~SMTP_ASK(SMTP_HOOK_CONNECT); /* nobody to keep waiting */
    for (size_t i = 0; i < cfg->n_listens; i++)
        fill_server(&g->servers[i], cfg, &cfg->listens[i], span_str(d->env->instance_id),
                    g->tls != NULL);
    return g;
}

struct generation *generation_hold(struct generation *g)
{
    g->refs++;
    return g;
}

void generation_drop(struct generation **gp)
{
    struct generation *g = *gp;
    *gp = NULL;
    if (!g || --g->refs)
        return;
    list_remove(&g->node);
    tls_server_ctx_free(&g->tls);
    config_free(&g->config);
    free(g->servers);
    free(g);
}
