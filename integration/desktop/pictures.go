package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"path/filepath"

	"github.com/remotemount/remotemount/integration/lab"
)

// pictures makes a folder of n small pictures of different colours, one in four a PNG,
// of some kilobytes each.
func pictures(l *lab.Lab, dir string, n int) error {
	if err := l.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for i := range n {
		var data bytes.Buffer
		name, err := fmt.Sprintf("picture-%04d.jpg", i), error(nil)
		if i%4 == 0 {
			name = fmt.Sprintf("picture-%04d.png", i)
			err = png.Encode(&data, picture(i))
		} else {
			err = jpeg.Encode(&data, picture(i), nil)
		}
		if err == nil {
			err = l.WriteFile(filepath.Join(dir, name), data.Bytes(), 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func picture(i int) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, 320, 240))
	for y := range 240 {
		for x := range 320 {
			m.SetRGBA(x, y, color.RGBA{uint8(x + i), uint8(y + 7*i), uint8((x ^ y) + 31*i), 255})
		}
	}
	return m
}
