/* needy: a plugin that needs a library that the loader will not find. */
int test_gone(void);
extern int (*const test_table)(void);
int (*const test_table)(void) = test_gone;
