/* cross: mistakes that no option makes alone. */
#ifndef POSTERN_CONFIG_CROSS_H
#define POSTERN_CONFIG_CROSS_H

struct bind;

/* After bind_finish. */
void cross_check(const struct bind *b);

#endif
