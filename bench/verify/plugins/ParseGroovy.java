import java.io.File;
import org.codehaus.groovy.control.CompilationUnit;
import org.codehaus.groovy.control.Phases;

/** Has Groovy's compiler read a script: its syntax, not the classes of QuPath, which is not here. */
public class ParseGroovy {
    public static void main(String[] args) {
        CompilationUnit unit = new CompilationUnit();
        unit.addSource(new File(args[0]));
        unit.compile(Phases.CONVERSION);
        System.out.println("Groovy " + groovy.lang.GroovySystem.getVersion() + ": the script's syntax is right");
    }
}
