/* inject_rules: what each type of change does to one record; private to inject.c. */
#ifndef TA_INJECT_RULES_H
#define TA_INJECT_RULES_H

#include "inject.h"

struct ta_inject_rule {
    struct ta_inject_change change; /* borrows its arrays from the configuration */
    uint32_t *order;                /* permute: [positions] where each comes from */
    uint32_t positions;             /* of x; the channels of a pixel stay together */
    void *spare;                    /* permute: one record of x */
    struct ta_stream *other;        /* mix */
    /* shift, in units of x as stored: */
    double step;
    uint32_t first, last;
};

/* Checks the entry against the stream. Closable after failure. Errors: as ta_inject_open. */
ta_status ta_inject_rule_open(struct ta_inject_rule *rule, const struct ta_inject_change *change, unsigned number,
                              const struct ta_stream_info *info);
void ta_inject_rule_close(struct ta_inject_rule *rule);

/* Record `record` of the stream, which is record i of the block, follows the rule. Errors: those of the other
 * stream. */
ta_status ta_inject_rule_apply(struct ta_inject_rule *rule, const struct ta_stream_info *info, uint64_t record,
                               size_t i, const struct ta_stream_block *block);

#endif
