"""One file for each family of vision-language models; its `FAMILY` says what no other family shares."""
