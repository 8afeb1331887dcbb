/* survey_none: what a program without libibverbs says of RDMA devices. */
#include "survey.h"

#if !TA_HAVE_VERBS
ta_status ta_survey_ports(struct ta_survey_port **out, size_t *n) {
    *out = NULL;
    *n = 0;
    return ta_fail(TA_NOT_BUILT, "this program was built without libibverbs: install libibverbs-dev and build again");
}
#endif
