/* store_seeds: what the fuzzers of the store begin with. */
#ifndef TA_FUZZ_STORE_SEEDS_H
#define TA_FUZZ_STORE_SEEDS_H

#include <stddef.h>

struct store_seed {
    const char *name;
    size_t bytes;
    const char *text;
};

#define STORE_SEED(name, text) {name, sizeof(text) - 1, text}

static const struct store_seed store_seeds[] = {
    STORE_SEED("store/hello", "bTASTORE\n\1\0\0\0\0\0\0\0................................"),
    STORE_SEED("store/proof", "p........................................................\x30\0\0\0...."),
    STORE_SEED("store/put", "a\x0b\0\5\5\1\4\0key/1data"
                            "\x06\0\5\1\2\0\0n."),
    STORE_SEED("store/watch", "a\5\0\4\4key/\x0d\0\5\7\1\2\0key/1/2vv\x0d\0\5\7\1\2\0key/1/2ww\2\0\4\1k\1\0\4\0"),
    STORE_SEED("store_file/server", "tensair store 1\nrun 0123456789abcdef\nport 40123\nmunge no\nsecret "
                                    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
                                    "address 10.0.0.7\naddress fd00::7\naddress node07\nend\n"),
};

#endif
