"""What training changed, as pictures: pairs, patch tokens, and what the tower tells the teacher."""
