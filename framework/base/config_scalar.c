/* config_scalar: one value, checked as strictly as a person means it, and written so that libcyaml cannot misread it.
 * (libcyaml 1.3 takes every word but "false", "no", "disable" and "0" for true, and 010 for eight.) */
#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config_internal.h"

enum { LIST_BYTES = 400, SHOWN = 80 };

static ta_status not_a(const char *what, const char *value, const char *kind) {
    return ta_fail(TA_CONFIG, "%s: '%.*s' is not %s", what, SHOWN, value, kind);
}

/* A whole number as sign and magnitude: decimal, 0x..., or like 1e6. */
static bool read_whole(const char *value, bool *negative, uint64_t *magnitude) {
    const char *p = value;
    *negative = *p == '-';
    if (*p == '-' || *p == '+') p++;
    if (!isdigit((unsigned char)*p)) return false;
    char *end;
    bool hex = p[0] == '0' && (p[1] == 'x' || p[1] == 'X');
    errno = 0;
    *magnitude = strtoull(p, &end, hex ? 16 : 10);
    if (*end == '\0' && (!hex || end > p + 2)) return true;
    if (hex) return false;
    double real = strtod(p, &end);
    if (*end != '\0' || !(real <= 0x1p53) || real != floor(real)) return false;
    errno = 0;
    *magnitude = (uint64_t)real;
    return true;
}

static ta_status check_whole(const char *what, const char *value, const cyaml_schema_value_t *schema,
                             struct ta_config_text *out) {
    bool negative;
    uint64_t magnitude;
    unsigned bits = schema->data_size * 8;
    bool is_signed = schema->type == CYAML_INT;
    if (!read_whole(value, &negative, &magnitude)) return not_a(what, value, "a whole number");
    bool big = errno == ERANGE;
    uint64_t most = is_signed ? (UINT64_C(1) << (bits - 1)) - 1 : UINT64_MAX >> (64 - bits);
    uint64_t least = is_signed ? most + 1 : 0; /* magnitude of the least */
    if (big || magnitude > (negative ? least : most)) {
        const char *sign = is_signed ? "-" : "";
        return ta_fail(TA_CONFIG, "%s: %.*s is out of range: %s%llu to %llu is allowed", what, SHOWN, value, sign,
                       (unsigned long long)least, (unsigned long long)most);
    }
    char text[32];
    snprintf(text, sizeof text, "%s%llu", negative ? "-" : "", (unsigned long long)magnitude);
    ta_config_add_quoted(out, text, strlen(text));
    return TA_OK;
}

static ta_status check_float(const char *what, const char *value, const cyaml_schema_value_t *schema,
                             struct ta_config_text *out) {
    char *end;
    double real = strtod(value, &end);
    bool narrow = schema->data_size == sizeof(float);
    if (end == value || *end != '\0' || isspace((unsigned char)value[0])) return not_a(what, value, "a number");
    if (isnan(real) || isinf(real) || (narrow && isinf((float)real)))
        return ta_fail(TA_CONFIG, "%s: %.*s is out of range: finite numbers up to %.3g are allowed", what, SHOWN, value,
                       narrow ? (double)FLT_MAX : DBL_MAX);
    double least = narrow ? (double)FLT_MIN : DBL_MIN;
    if (fabs(real) < least) real = 0; /* libcyaml refuses what the type can only hold with fewer digits */
    char text[40];
    snprintf(text, sizeof text, "%.17g", real);
    ta_config_add_quoted(out, text, strlen(text));
    return TA_OK;
}

static ta_status check_bool(const char *what, const char *value, struct ta_config_text *out) {
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off", "1", "0"};
    for (int i = 0; i < 8; i++) {
        if (strcasecmp(value, words[i]) != 0) continue;
        ta_config_add_word(out, i % 2 == 0 ? "\"true\"" : "\"false\"");
        return TA_OK;
    }
    return not_a(what, value, "true or false");
}

static ta_status check_enum(const char *what, const char *value, const cyaml_schema_value_t *schema,
                            struct ta_config_text *out) {
    const cyaml_strval_t *strings = schema->enumeration.strings;
    uint32_t count = schema->enumeration.count;
    const char *names[64];
    char list[LIST_BYTES] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(value, strings[i].str) == 0) {
            ta_config_add_quoted(out, value, strlen(value));
            return TA_OK;
        }
        if (i < 64) names[i] = strings[i].str;
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i == 0 ? "" : ", ", strings[i].str);
    }
    const char *nearest = ta_config_nearest(value, names, count < 64 ? count : 64);
    return ta_fail(TA_CONFIG, "%s: '%.*s' is not one of %s%s%s%s", what, SHOWN, value, list,
                   nearest == NULL ? "" : "; did you mean '", nearest == NULL ? "" : nearest,
                   nearest == NULL ? "" : "'?");
}

static ta_status check_string(const char *what, const char *value, size_t length, const cyaml_schema_value_t *schema,
                              struct ta_config_text *out) {
    if (length < schema->string.min)
        return ta_fail(TA_CONFIG, "%s: '%.*s' is too short: at least %u bytes", what, SHOWN, value, schema->string.min);
    if (length > schema->string.max)
        return ta_fail(TA_CONFIG, "%s: '%.*s...' is too long: %zu bytes, at most %u", what, SHOWN, value, length,
                       schema->string.max);
    ta_config_add_quoted(out, value, length);
    return TA_OK;
}

ta_status ta_config_check_scalar(const char *what, const char *value, size_t length, const cyaml_schema_value_t *schema,
                                 struct ta_config_text *out) {
    if (strlen(value) != length) return ta_fail(TA_CONFIG, "%s: holds a zero byte", what);
    switch (schema->type) {
    case CYAML_INT:
    case CYAML_UINT: return check_whole(what, value, schema, out);
    case CYAML_FLOAT: return check_float(what, value, schema, out);
    case CYAML_BOOL: return check_bool(what, value, out);
    case CYAML_ENUM:
    case CYAML_FLAGS: return check_enum(what, value, schema, out);
    case CYAML_STRING: return check_string(what, value, length, schema, out);
    default: return ta_fail(TA_INVALID, "%s: the schema has a type that is not supported", what);
    }
}
