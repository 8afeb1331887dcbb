/* gone: a library that the loader will not find. */
int test_gone(void);
int test_gone(void) { return 7; }
