/* anchor: a plugin is made of libraries; this says what it was built as. */
const char ta_plugin_version[] = "tensair";
