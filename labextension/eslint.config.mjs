import jupyter from "@jupyter/eslint-plugin";
import tseslint from "typescript-eslint";

const [plugin, schema] = jupyter.configs.recommended;

export default tseslint.config(
  { ignores: ["lib/**", "node_modules/**", ".yarn/**", "*.mjs"] },
  {
    files: ["**/*.ts"],
    extends: [...tseslint.configs.strictTypeChecked, ...tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "no-console": "error",
      // An arrow that returns its call is shorter, and as clear.
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      // Keys of snapshots contain numbers.
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
    },
  },
  {
    ...plugin,
    plugins: { jupyter },
    files: ["src/lab/**/*.ts"],
    rules: {
      ...plugin.rules,
      // Lumino's signals take a method and its object separately.
      "@typescript-eslint/unbound-method": "off",
      // The plugin is some kilobytes, and its activation needs all of it.
      "jupyter/prefer-lazy-imports": "off",
    },
  },
  { ...schema, plugins: { jupyter } },
);
