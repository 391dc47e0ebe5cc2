import ij.ImagePlus;
import ij.io.Opener;
import ij.measure.Calibration;

/**
 * Opens TIFF files with ImageJ 1.x's own reader and prints what it sees: a check of what unet
 * writes. Debian's package imagej brings the jar.
 *
 * java -Djava.awt.headless=true -cp /usr/share/java/ij.jar OpenInImageJ.java FILE...
 */
public class OpenInImageJ {
    public static void main(String[] files) {
        for (String f : files) {
            ImagePlus imp = new Opener().openImage(f);
            if (imp == null) {
                System.out.println(f + ": not opened");
                continue;
            }
            Calibration cal = imp.getCalibration();
            int w = imp.getWidth(), h = imp.getHeight();
            System.out.printf("%s: %d x %d, %d slices, %d bits, pixels %s %s %s, %g %s per pixel%n", f, w, h,
                    imp.getStackSize(), imp.getBitDepth(), imp.getProcessor().getPixelValue(0, 0),
                    imp.getProcessor().getPixelValue(w / 2, h / 2), imp.getProcessor().getPixelValue(w - 1, h - 1),
                    cal.pixelWidth, cal.getUnit());
        }
    }
}
