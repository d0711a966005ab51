"""Downloads, the Hugging Face Hub and pretrained weights. The only room that uses the network."""
