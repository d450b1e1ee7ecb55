/* How full the file systems of the spool are. */
#include "watch/inside.h"

#include "base/must.h"
#include "base/num.h"
#include "vfs/vfs.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

static void look_at(struct watch *w, const char *dir)
{
    const struct config_alarm *c = &w->config->alarm;
    struct vfs_space s;
    struct span subject = span_str(dir);
    int error = vfs_space(w->env->vfs, dir, &s);
    if (error) {
        if (c->disk_free_bytes)
            watch_saw(w, ALARM_DISK, subject, true, "cannot be looked at: %s", strerror(-error));
        return;
    }
    struct buf is, want;
    buf_init(&is, 64);
    buf_init(&want, 64);
    num_put_size(&is, s.free_bytes);
    num_put_size(&want, c->disk_free_bytes);
    if (c->disk_free_bytes)
        watch_saw(w, ALARM_DISK, subject, s.free_bytes < c->disk_free_bytes,
                  "%s free, less than alarm.disk_free (%s); with less than spool.free_min new mail "
                  "is put off", buf_cstr(&is), buf_cstr(&want));
    if (c->inodes_free)
        watch_saw(w, ALARM_INODES, subject, s.free_inodes < c->inodes_free,
                  "%llu inodes free, fewer than alarm.inodes_free (%llu)",
                  (unsigned long long)s.free_inodes, (unsigned long long)c->inodes_free);
    buf_free(&is);
    buf_free(&want);
}

void disk_look(struct watch *w)
{
    const struct config_texts *dirs = &w->config->spool.directories;
    for (size_t i = 0; i < dirs->n; i++) {
        char *pattern = must_strndup(dirs->v[i].p, dirs->v[i].n);
        glob_t found;
        if (!strchr(pattern, '*')) {
            look_at(w, pattern);
        } else if (glob(pattern, GLOB_ONLYDIR, NULL, &found) == 0) {
            for (size_t k = 0; k < found.gl_pathc; k++)
                look_at(w, found.gl_pathv[k]);
            globfree(&found);
        }
        free(pattern);
    }
    alarms_round(w->alarms, ALARM_DISK);
    alarms_round(w->alarms, ALARM_INODES);
    checks_looked(w, ALARM_DISK);
}
