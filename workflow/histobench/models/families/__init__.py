"""One file for each family of vision-language models; its `FAMILY` holds what is specific to the family."""
