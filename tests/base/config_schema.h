/* config_schema: a configuration with every kind of field, for the tests of config and for its fuzzer. */
#ifndef TA_TEST_CONFIG_SCHEMA_H
#define TA_TEST_CONFIG_SCHEMA_H

#include <stdint.h>

#include "config.h"

enum shade { SHADE_NONE, SHADE_LIGHT, SHADE_DARK };

struct piece {
    enum shade shade;
    char *name;
    uint32_t width;
    double at;
};

struct part {
    int8_t tiny;
    int64_t wide;
    uint8_t byte;
    uint16_t two_bytes;
    uint64_t count;
    float rate;
    double exact;
    int on;
    enum shade shade;
};

struct whole {
    char *title;
    char label[8];
    struct part part;
    struct piece *pieces;
    unsigned pieces_count;
    uint32_t *numbers;
    unsigned numbers_count;
    float pair[2];
    uint32_t flags;
};

static const cyaml_strval_t shades[] = {{"none", SHADE_NONE}, {"light", SHADE_LIGHT}, {"dark", SHADE_DARK}};
static const cyaml_strval_t flag_names[] = {{"fast", 1}, {"small", 2}};

#define MAYBE CYAML_FLAG_OPTIONAL

static const cyaml_schema_field_t piece_fields[] = {
    CYAML_FIELD_ENUM("shade", CYAML_FLAG_STRICT, struct piece, shade, shades, 3),
    CYAML_FIELD_STRING_PTR("name", MAYBE | CYAML_FLAG_POINTER_NULL, struct piece, name, 0, 100),
    CYAML_FIELD_UINT("width", MAYBE, struct piece, width),
    CYAML_FIELD_FLOAT("at", MAYBE, struct piece, at),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t part_fields[] = {
    CYAML_FIELD_INT("tiny", MAYBE, struct part, tiny),
    CYAML_FIELD_INT("wide", MAYBE, struct part, wide),
    CYAML_FIELD_UINT("byte", MAYBE, struct part, byte),
    CYAML_FIELD_UINT("two_bytes", MAYBE, struct part, two_bytes),
    CYAML_FIELD_UINT("count", MAYBE, struct part, count),
    CYAML_FIELD_FLOAT("rate", MAYBE, struct part, rate),
    CYAML_FIELD_FLOAT("exact", MAYBE, struct part, exact),
    CYAML_FIELD_BOOL("on", MAYBE, struct part, on),
    CYAML_FIELD_ENUM("shade", MAYBE | CYAML_FLAG_STRICT, struct part, shade, shades, 3),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t piece_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct piece, piece_fields)};
static const cyaml_schema_value_t number_value = {CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT, uint32_t)};
static const cyaml_schema_value_t float_value = {CYAML_VALUE_FLOAT(CYAML_FLAG_DEFAULT, float)};

static const cyaml_schema_field_t whole_fields[] = {
    CYAML_FIELD_STRING_PTR("title", CYAML_FLAG_POINTER, struct whole, title, 1, 40),
    CYAML_FIELD_STRING("label", MAYBE, struct whole, label, 0),
    CYAML_FIELD_MAPPING("part", MAYBE, struct whole, part, part_fields),
    CYAML_FIELD_SEQUENCE("pieces", CYAML_FLAG_POINTER | MAYBE, struct whole, pieces, &piece_value, 0, 5),
    CYAML_FIELD_SEQUENCE("numbers", CYAML_FLAG_POINTER | MAYBE | CYAML_FLAG_FLOW, struct whole, numbers, &number_value,
                         1, CYAML_UNLIMITED),
    CYAML_FIELD_SEQUENCE_FIXED("pair", MAYBE, struct whole, pair, &float_value, 2),
    CYAML_FIELD_FLAGS("flags", MAYBE | CYAML_FLAG_STRICT, struct whole, flags, flag_names, 2),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t whole_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct whole, whole_fields)};

#endif
