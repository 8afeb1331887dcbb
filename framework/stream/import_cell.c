/* import_cell: strtod for numbers, integers for times (a double holds no nanoseconds since 1970). */
#include "import_cell.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool ta_cell_number(const char *text, float *value) {
    /* strtod also takes "inf", "nan" and hexadecimal numbers; a table has none of them. */
    if (text[strspn(text, "+-.eE0123456789")] != '\0') return false;
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != '\0') return false;
    *value = (float)number;
    return isfinite(*value);
}

/* Digits of `*p` as a whole number of `digits` decimal places ("25" with 3 -> 250); digits behind those are dropped. */
static int64_t fraction(const char **p, int digits) {
    int64_t value = 0;
    for (int i = 0; i < digits; i++) {
        value *= 10;
        if (isdigit((unsigned char)**p)) value += *(*p)++ - '0';
    }
    while (isdigit((unsigned char)**p)) (*p)++;
    return value;
}

static bool decimal_time(const char *text, int places, int64_t *time_ns) {
    const char *p = text;
    bool negative = *p == '-';
    if (*p == '-' || *p == '+') p++;
    int64_t unit_ns = 1, whole = 0;
    for (int i = 0; i < places; i++) unit_ns *= 10;
    if (!isdigit((unsigned char)*p)) return false;
    for (; isdigit((unsigned char)*p); p++)
        if (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, *p - '0', &whole))
            return false;
    int64_t part = 0;
    if (*p == '.') {
        p++;
        part = fraction(&p, places);
    }
    if (*p != '\0') return false;
    if (__builtin_mul_overflow(whole, unit_ns, &whole) || __builtin_add_overflow(whole, part, time_ns)) return false;
    if (negative) *time_ns = -*time_ns;
    return true;
}

static bool calendar_time(const char *text, const char *format, int64_t *time_ns) {
    struct tm parts;
    memset(&parts, 0, sizeof parts);
    parts.tm_mday = 1;
    const char *p = strptime(text, format, &parts);
    if (p == NULL) return false;
    int64_t part = 0;
    if (*p == '.') {
        p++;
        part = fraction(&p, 9);
    }
    if (*p != '\0') return false;
    int64_t seconds = timegm(&parts);
    return !__builtin_mul_overflow(seconds, INT64_C(1000000000), time_ns) &&
           !__builtin_add_overflow(*time_ns, part, time_ns);
}

bool ta_cell_time(const char *text, const char *format, int64_t *time_ns) {
    if (format == NULL || strcmp(format, "seconds") == 0) return decimal_time(text, 9, time_ns);
    if (strcmp(format, "milliseconds") == 0) return decimal_time(text, 6, time_ns);
    if (strcmp(format, "microseconds") == 0) return decimal_time(text, 3, time_ns);
    if (strcmp(format, "nanoseconds") == 0) return decimal_time(text, 0, time_ns);
    return calendar_time(text, format, time_ns);
}
