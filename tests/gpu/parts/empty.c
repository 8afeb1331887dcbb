/* empty: a plugin that holds no table. */
extern const int test_nothing;
const int test_nothing = 1;
