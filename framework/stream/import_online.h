/* import_online: a text kept as text, for a vocabulary that is found while it is read; private to the importers. */
#ifndef TA_IMPORT_ONLINE_H
#define TA_IMPORT_ONLINE_H

#include "import_token.h"

/* What ta_import_text does with `online`; `tokens` are open and at their start. */
ta_status ta_import_online(struct ta_tokens *tokens, const struct ta_import_options *options,
                           struct ta_import_report *report);

#endif
